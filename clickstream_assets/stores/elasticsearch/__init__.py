"""Elasticsearch as an asset asks for it."""
