"""Where a click came from and with what: the rules, and their tasks on Spark. No Dagster, and no other step."""
