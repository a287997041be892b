"""HBase as a Spark Data Source in Python, and Spark's Python daemon. They know nothing of clicks or Dagster."""
