"""Data-quality checks, a module for each asset, of the same name. A new check is a function in one of them."""
