"""From Kafka's offsets to rows, dead letters and the ledger."""
