"""The topic and its consumer group."""
