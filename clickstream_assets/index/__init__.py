"""Metrics as documents in Elasticsearch: their fields, the index, writing them. No Dagster, and no other step."""
