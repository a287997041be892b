"""What every step reads and writes: ledger, states of hours, watermarks, blocks, keys, the tables' declarations.

No message is read here, and no rule for events or metrics is.
"""
