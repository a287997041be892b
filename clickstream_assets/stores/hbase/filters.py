"""Filters of scans, as HBase's Thrift server reads them."""

import re
from collections.abc import Sequence

KEYS_ONLY = b"FirstKeyOnlyFilter() AND KeyOnlyFilter()"
"""A filter string for scans that look at nothing but keys."""
SIZES_ONLY = b"KeyOnlyFilter(true)"


def where(column: bytes, operator: str, value: bytes, *, or_missing: bool = False) -> bytes:
    """A filter string: rows whose ``column`` (``family:qualifier``) compares so with ``value``, byte by byte.

    ``or_missing``: and those that lack it. Filters of a scan see nothing but the columns that it asks for.
    """
    family, _, qualifier = column.partition(b":")
    comparator = _quoted(b"binary:" + value)
    missing_fails, latest_only = b"false" if or_missing else b"true", b"true"
    parts = (_quoted(family), _quoted(qualifier), operator.encode(), comparator, missing_fails, latest_only)
    return b"SingleColumnValueFilter(" + b", ".join(parts) + b")"


def lacks(column: bytes) -> bytes:
    """A filter string: rows without ``column``. No value is less than none, so a row that has it never passes."""
    return where(column, "<", b"", or_missing=True)


def has(column: bytes) -> bytes:
    """A filter string: rows with ``column``."""
    return where(column, ">=", b"")


def walked(columns: Sequence[bytes], filter_string: bytes | None) -> tuple[list[bytes], bytes | None]:
    """Columns and filter of a scan that gives the same, but walks over all cells of the columns' families.

    HBase looks each column of each row up that a scan asks for, by a search in memory; taking one cell after the other
    and leaving some out by a filter is less than half of the work (docs/decisions/0023).
    """
    qualifiers = sorted({column.partition(b":")[2] for column in columns})
    if not all(qualifiers) or not columns:
        return list(columns), filter_string
    families = sorted({column.partition(b":")[0] for column in columns})
    named = b"QualifierFilter(=, " + _quoted(b"regexstring:^(" + b"|".join(map(re.escape, qualifiers)) + b")$") + b")"
    return families, named if filter_string is None else named + b" AND (" + filter_string + b")"


def _quoted(text: bytes) -> bytes:
    return b"'" + text.replace(b"'", b"''") + b"'"
