"""What every step reads and writes: ledger, hour states, watermarks, blocks, and the tables' declarations."""
