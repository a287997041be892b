"""Clickstream: Kafka clicks to checked hourly metrics, as Dagster assets."""
