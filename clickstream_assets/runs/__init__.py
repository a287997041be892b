"""How a run's process comes to be, where runs are processes of the code server (docs/decisions/0022-runs-forked.md)."""
