"""How Elasticsearch is reached. What is in its documents, and writing them, is in ``index``."""
