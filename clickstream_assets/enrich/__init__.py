"""Where a click came from and with what: rules, and their tasks on Spark."""
