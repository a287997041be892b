"""Connections that survive a lost server for a while; they know nothing of clicks or Dagster."""
