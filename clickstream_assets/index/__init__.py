"""Metrics as documents in Elasticsearch."""
