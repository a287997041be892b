"""What ``make bench`` runs: rates of each stage beside their yardsticks, on the embedded servers.

A stage is an asset, executed as Dagster executes it, so that a change of the assets' code shows without a change here.
A yardstick is the least that any code would have to do for the same result: bare puts of the same rows, a bare scan of
the same columns. Both are measured in the same run, in turn.
"""
