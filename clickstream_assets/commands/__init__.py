"""The commands of ``clickstream`` that span the whole platform."""
