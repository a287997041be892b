"""Rows on their way to and from HBase's Thrift server.

Puts are spelled in Thrift's binary protocol here: an object of the library for each cell would be most of what storing
a row costs this process (docs/decisions/0009). A test reads them with the library. Rows that a scan gives are read into
classes of our own, which cost a third less to make (docs/decisions/0023).
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import happybase  # noqa: F401 - importing it makes the module Hbase_thrift

import Hbase_thrift as thrift  # isort: skip
from thriftpy2.thrift import TType

Cells = Mapping[bytes, bytes]
"""Column (``family:qualifier``) to value."""


class RowMutation(NamedTuple):
    """What changes in one row, atomically: cells put, and whole columns or families deleted.

    A column must not be both put and deleted: with one timestamp for both the delete would hide the put.
    """

    key: bytes
    puts: Cells
    deletes: Iterable[bytes] = ()

    def encoded(self) -> bytes:
        """Thrift's ``BatchMutation``, in its binary protocol."""
        deletes = [_IS_DELETE + _put_of(column)[:-3] + b"\0" for column in self.deletes]
        return _mutation(self.key, len(self.puts) + len(deletes), _puts(self.puts), *deletes)


class SharedCells:
    """Cells that many rows have alike, encoded once."""

    __slots__ = ("cells", "encoded")

    def __init__(self, cells: Cells) -> None:
        self.cells, self.encoded = cells, _puts(cells)


class SharedMutation(NamedTuple):
    """Shared cells put in one row."""

    key: bytes
    shared: Sequence[SharedCells]

    def encoded(self) -> bytes:
        """As :meth:`RowMutation.encoded`."""
        count = sum(len(cells.cells) for cells in self.shared)
        return _mutation(self.key, count, *(cells.encoded for cells in self.shared))


def _mutation(key: bytes, count: int, *encoded: bytes) -> bytes:
    return b"".join([_string(1, key), _LIST_OF_STRUCTS, count.to_bytes(4, "big"), *encoded, b"\0"])


def _puts(cells: Cells) -> bytes:
    return b"".join(
        part
        for column, value in cells.items()
        for part in (_put_of(column), len(value).to_bytes(4, "big"), value, b"\0")
    )


_IS_DELETE = b"\x02\0\x01\x01"
_LIST_OF_STRUCTS = b"\x0f\0\x02\x0c"
"""The second field."""


def _string(field: int, value: bytes) -> bytes:
    return b"\x0b" + field.to_bytes(2, "big") + len(value).to_bytes(4, "big") + value


@lru_cache(maxsize=1 << 10)
def _put_of(column: bytes) -> bytes:
    """Thrift's ``Mutation`` up to the length of the value; what is left out (put, and log it) is the default."""
    return _string(2, column) + b"\x0b\0\x03"


def mutate_rows(table: str, rows: Sequence[bytes], time_ms: int | None = None) -> tuple[str, bytes]:
    """A call of Thrift's ``mutateRows`` with encoded rows, or of ``mutateRowsTs`` with a time: its name, its bytes."""
    name, time = "mutateRows", b""
    if time_ms is not None:
        name, time = "mutateRowsTs", b"\x0a\0\x03" + time_ms.to_bytes(8, "big")
    head = b"\x80\x01\0\x01" + len(name).to_bytes(4, "big") + name.encode() + bytes(4)
    arguments = _string(1, table.encode()) + _LIST_OF_STRUCTS + len(rows).to_bytes(4, "big")
    return name, b"".join([head, arguments, *rows, time, b"\0"])


class Cell:
    """What a scan gives of a cell: Thrift's ``TCell`` without its timestamp."""

    __slots__ = ("value",)
    thrift_spec: ClassVar = {1: (TType.STRING, "value", False)}
    value: bytes


class Row:
    """What a scan gives of a row: Thrift's ``TRowResult`` without what is never asked for."""

    __slots__ = ("columns", "row")
    thrift_spec: ClassVar = {
        1: (TType.STRING, "row", False),
        2: (TType.MAP, "columns", (TType.STRING, (TType.STRUCT, Cell)), False),
    }
    row: bytes
    columns: dict[bytes, Cell]


class Key:
    """What a scan gives of a row whose cells nobody looks at: they are stepped over, not made."""

    __slots__ = ("row",)
    thrift_spec: ClassVar = {1: Row.thrift_spec[1]}
    row: bytes


def _scans(kind: type[Row | Key]) -> Any:
    """The part of Thrift's service that reads a scan's rows as ``kind``; the library takes a class for a module."""
    read_as = {0: (TType.LIST, "success", (TType.STRUCT, kind), False)}
    result = thrift.Hbase.scannerGetList_result
    return type(
        "Scans",
        (),
        {
            "thrift_services": ("scannerGetList",),
            "scannerGetList_args": thrift.Hbase.scannerGetList_args,
            "scannerGetList_result": type("Rows", (result,), {"thrift_spec": result.thrift_spec | read_as}),
        },
    )


SCANS: Mapping[type, Any] = {Row: _scans(Row), Key: _scans(Key)}
"""The part of Thrift's service that scans, by what it reads rows as."""
