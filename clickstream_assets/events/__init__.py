"""What a message is: decoding, refusing, times, urls, its schema, files of messages.

It knows no server, no setting and no Dagster. What becomes of a message is decided in ``ingest``.
"""
