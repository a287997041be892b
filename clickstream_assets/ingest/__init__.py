"""From Kafka's offsets to rows, dead letters and the ledger; replay and rebuild too.

It decides nothing about a message's fields: that is in ``events``. No Dagster, and no other step.
"""
