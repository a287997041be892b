"""What searches of the page are put together from."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

Search = tuple[str, dict[str, Any]]
"""An alias, and what is asked of it."""
_PER_INDEX = 5_000
"""Terms that each index behind an alias adds up. Each answers with its own most frequent ones alone, by default half as
many more as are shown: what is frequent in one year and rare in the year before would lack the part of the latter."""


def matching(*filters: Mapping[str, Any]) -> dict[str, Any]:
    """A query for what passes all filters; nothing is scored."""
    return {"bool": {"filter": list(filters)}}


def between(name: str, first: date, last: date) -> dict[str, Any]:
    """A filter for dates from the first day to the last, both included."""
    return {"range": {name: {"gte": first.isoformat(), "lt": (last + timedelta(days=1)).isoformat()}}}


def most_first(name: str, size: int, by: str = "clicks") -> dict[str, Any]:
    """Terms of a field, those with most of a sum first; of two that have as much, always the same one."""
    return {"field": name, "size": size, "shard_size": _PER_INDEX, "order": [{by: "desc"}, {"_key": "asc"}]}
