"""Data-quality checks, a module for each asset, of the same name. A new check is a function in one of them.

Checks judge figures. They scan no table: counting is in ``evidence``, computing again is the steps' own.
"""
