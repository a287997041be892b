"""Indices as this pipeline makes them."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class NewIndices(NamedTuple):
    """The indices behind one alias, one for each month or year."""

    alias: str
    mapping: Mapping[str, Any]
    period: str
    """What their names add to the alias, as a regular expression."""
    asset: str
    """Materializing it makes their documents anew."""
    added: Collection[str] = ()
    """Fields that indices of an earlier edition may lack: whoever writes to one adds them."""
