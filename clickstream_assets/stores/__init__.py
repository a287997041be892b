"""How each server is reached. A ``client`` knows no click and no Dagster; a ``resource`` is what an asset asks for.

What is kept in a store is declared in ``books`` and ``index``, and written by the steps.
"""
