"""Columns of HBase tables: their types, their cells, and how values become bytes and come back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import orjson

from clickstream_assets.events.fields import EPOCH_MS, Field

MESSAGE_BYTES = 4 << 20
"""Of a refused message as it is kept, and of what an event has beside named fields: `1e15` is stored with its zeros."""
_KEY_BYTES = 100
_USUAL_BYTES = 64
"""Of a number, a date, an id of ours."""
_CUT_BYTES = 4 * 2_048
"""Of a text that is cut after 2,048 characters, and of what a rule takes out of it."""
_SHORT_BYTES = 4 * 128
_MOST_BYTES = {
    "url": 8_192,
    "url_as_sent": 8_192,
    "site": 8_192,
    "user_id": 512,
    "anonymous_id": 512,
    "event_type": _SHORT_BYTES,
    "event_id": _SHORT_BYTES,
    **dict.fromkeys(("ip", "user_agent", "referrer", "browser", "os", "device"), _CUT_BYTES),
    **dict.fromkeys(("utm_source", "utm_medium", "utm_campaign"), _SHORT_BYTES),
    "referrer_host": 4 * 253,
    **dict.fromkeys(("city", "geoip_version", "user_agent_version"), 256),
    "source": 128,
    "properties": MESSAGE_BYTES,
    "value": MESSAGE_BYTES,
    "detail": 4 * 1_000,
    "users_sketch": 8_192,
}
"""By column, what the contract lets a cell hold; Thrift's answers are cut by it (docs/decisions/0015)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Field):
    """A field in HBase: its Spark type (``string``, ``long``, ``double``, ``binary``) and its cell."""

    cell: str
    most_bytes: int
    """What a cell holds at most."""

    @property
    def key(self) -> bytes:
        """``family:qualifier`` as HBase wants it."""
        return self.cell.encode()

    def decode(self, cell: bytes) -> Any:
        """The value of a cell; raises ValueError if it is not of the column's type."""
        return _FROM_BYTES.get(self.type, bytes)(cell)


@dataclass(frozen=True)
class Table:
    """An HBase table: its name in the contract, its families with happybase's options, its columns by name."""

    name: str
    families: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, Column]
    split_keys: Sequence[bytes] = ()
    """Where a new table is split into regions. Only the clicks and their blocks are: keys of the other tables are text
    that grows with time or offsets, their rows are few, and a split would leave all but the last region idle."""

    def row_bytes(self, *names: str) -> int:
        """What the named columns (all by default) of a row hold at most, its key included."""
        return _KEY_BYTES + sum(self.columns[name].most_bytes for name in names or self.columns)

    def encode(self, **values: Any) -> dict[bytes, bytes]:
        """The cells of a row's columns; None is no cell.

        Numbers are text, but for a ``counter``, which HBase itself counts up: eight bytes. ``json`` is text too.
        """
        cells = {}
        for name, value in values.items():
            if value is not None:
                key, to_bytes = self._encoders[name]
                cells[key] = to_bytes(value)
        return cells

    def decode(self, cells: Mapping[bytes, bytes]) -> dict[str, Any]:
        """The columns that ``cells`` has, by name; what the table does not declare is left out."""
        columns = self._columns_by_key
        return {columns[key].name: columns[key].decode(cell) for key, cell in cells.items() if key in columns}

    @cached_property
    def _encoders(self) -> Mapping[str, tuple[bytes, Callable[[Any], bytes]]]:
        return {name: (column.key, _TO_BYTES.get(column.type, bytes)) for name, column in self.columns.items()}

    @cached_property
    def _columns_by_key(self) -> Mapping[bytes, Column]:
        return {column.key: column for column in self.columns.values()}


_TO_BYTES: Mapping[str, Callable[[Any], bytes]] = {
    "string": str.encode,
    "long": lambda value: b"%d" % value,
    "double": lambda value: repr(value).encode(),  # exact both ways
    "counter": lambda value: value.to_bytes(8, "big", signed=True),
    "json": orjson.dumps,
}
_FROM_BYTES: Mapping[str, Callable[[bytes], Any]] = {
    "string": bytes.decode,
    "long": int,
    "double": float,
    "counter": lambda cell: int.from_bytes(cell, "big", signed=True),
    "json": orjson.loads,
}


def column(name: str, kind: str, text: str, *upstream: str, qualifier: str = "", **more: Any) -> Column:
    cell, most_bytes = qualifier or name, _MOST_BYTES.get(name, _USUAL_BYTES)
    return Column(name=name, type=kind, cell=cell, description=text, upstream=upstream, most_bytes=most_bytes, **more)


def text(name: str, text: str, *upstream: str, **more: Any) -> Column:
    return column(name, "string", text, *upstream, **more)


def time_column(name: str, text: str, *upstream: str, **more: Any) -> Column:
    return column(name, "long", text, *upstream, unit=EPOCH_MS, **more)


def of_family(family: str, *columns: Column) -> dict[str, Column]:
    return {column.name: replace(column, cell=f"{family}:{column.cell}") for column in columns}
