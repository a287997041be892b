"""HBase and Elasticsearch as Spark Data Sources in Python. They know nothing of clicks or Dagster."""
