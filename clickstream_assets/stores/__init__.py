"""Connections to servers. A ``client`` knows nothing of clicks or Dagster; a ``resource`` is what an asset asks for."""
