"""The topic and its consumer group: messages, offsets, commits. What becomes of a message is in ``ingest``."""
