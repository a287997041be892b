"""The ``clickstream`` command: each command a module that imports what it needs when it runs."""
