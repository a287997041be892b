"""A code location of one asset, for what a web page might do to it."""

from dagster import Definitions, asset


@asset
def kept() -> None:
    """Materialized once, and then to be left alone."""


defs = Definitions([kept])
