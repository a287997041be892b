"""Data-quality checks, a module for each asset, of the same name."""
