"""The embedded servers: real Kafka, HBase, Elasticsearch and Spark Connect, run as child processes.

Here is what it takes to have them on a machine with nothing but Python: downloads, configuration, starting,
watching, stopping. What the platform does with them is not here; it sees addresses, as it would in production.

:class:`~clickstream_assets.local.stack.supervisor.Stack` runs them in the foreground,
:mod:`~clickstream_assets.local.stack.background` as a background process.
"""
