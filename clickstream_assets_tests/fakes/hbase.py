"""HBase in memory: what is put is read back, by key and by range, and times decide what is hidden.

Not faked: the network, regions, filters of scans, several versions of a cell, TTL, the bounds of a Thrift call.
"""

import copy
import itertools
import math
import struct
from time import time
from types import SimpleNamespace

from clickstream_assets.stores.hbase.client import RowMutation


class FakeHBase:
    """HBaseClient's calls on dictionaries, as its docstrings promise them; no server, no retries.

    ``tables`` has what a reader sees. A put or delete has a time, its own or the server's, and hides what is older,
    whichever comes first; of one time a delete hides a put.
    """

    host, port = "hbase", 9090

    def __init__(self):
        self.tables = {}
        self.clock = lambda: int(time() * 1000)
        """The server's, in milliseconds."""
        self._order = itertools.count()
        self._put_at, self._deleted_at = {}, {}
        """By table, row key and column: when the cell was put; the same or a family: up to when all is deleted."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def another(self):
        return self

    def close(self):
        pass

    def snapshot(self):
        """All that is stored, for :meth:`restore`."""
        return copy.deepcopy(self.tables), dict(self._put_at), dict(self._deleted_at)

    def restore(self, snapshot):
        tables, put_at, deleted_at = snapshot
        self.tables, self._put_at, self._deleted_at = copy.deepcopy(tables), dict(put_at), dict(deleted_at)

    def _table(self, name):
        return self.tables.setdefault(name, {})

    def get(self, table, keys, columns=(), *, batch_rows=None):
        rows = {key: self._table(table)[key] for key in keys if key in self._table(table)}
        wanted = {key: {c: v for c, v in cells.items() if _is_of(c, columns)} for key, cells in rows.items()}
        return {key: cells for key, cells in wanted.items() if cells}

    def mutate(self, table, rows, time_ms=None):
        sent = 0
        for sent, row in enumerate(rows, 1):  # noqa: B007
            self._apply(table, row, time_ms)
        return sent

    def _apply(self, table, row, time_ms):
        cells, order = self._table(table).setdefault(row.key, {}), next(self._order)
        at = (self.clock() if time_ms is None else time_ms, order)
        deletes, puts = getattr(row, "deletes", ()), _puts_of(row)
        for column in deletes:
            assert column not in puts
            up_to = at if time_ms is None else (time_ms, math.inf)
            self._deleted_at[table, row.key, column] = max(
                up_to, self._deleted_at.get((table, row.key, column), _NEVER)
            )
            for name in [name for name in cells if _is_of(name, (column,))]:
                if self._put_at.get((table, row.key, name), _NEVER) <= up_to:
                    del cells[name]
        for column, value in puts.items():
            places = (table, row.key, column), (table, row.key, column.split(b":")[0])
            is_deleted = any(self._deleted_at.get(place, _NEVER) > at for place in places)
            if not is_deleted and self._put_at.get(places[0], _NEVER) <= at:
                cells[column] = value
                self._put_at[places[0]] = at
        if not cells:
            del self._table(table)[row.key]

    def sizes(self, table, start, stop, column):
        yield from ((key, len(cells[column])) for key, cells in self.scan(table, start, stop, (column,)))

    def scan(self, table, start, stop, columns=(), *, batch_rows=None, large_cells=False):
        keys = sorted(key for key in self._table(table) if start <= key and (not stop or key < stop))
        yield from ((key, cells) for key in keys if (cells := self.get(table, [key], columns).get(key)))

    def scan_batches(self, table, start, stop, columns=(), *, filter_string=None, batch_rows=5_000, large_cells=False):
        assert filter_string in (None, b"KeyOnlyFilter()")
        rows = self.scan(table, start, stop, columns)
        while batch := list(itertools.islice(rows, batch_rows)):
            yield [
                SimpleNamespace(
                    row=key,
                    columns={c: SimpleNamespace(value=b"" if filter_string else v) for c, v in cells.items()},
                )
                for key, cells in batch
            ]

    def scan_keys(self, table, start, stop, families=(), *, filter_string=None):
        for key, cells in self.scan(table, start, stop):
            if not families or any(name.split(b":")[0] in families for name in cells):
                yield [SimpleNamespace(row=key)]

    def last_before(self, table, stop, floor):
        keys = [key for key in self._table(table) if floor <= key < stop]
        return (max(keys), dict(self._table(table)[max(keys)])) if keys else None

    def increment(self, table, key, column):
        cells = self._table(table).setdefault(key, {})
        value = struct.unpack(">q", cells.get(column, bytes(8)))[0] + 1
        cells[column] = struct.pack(">q", value)
        return value


_NEVER = (-1, -1)


def _is_of(column, columns):
    """Whether a cell is of some columns or families; of any if none is named."""
    return not columns or column in columns or column.split(b":")[0] in columns


def _puts_of(row):
    return row.puts if isinstance(row, RowMutation) else {c: v for some in row.shared for c, v in some.cells.items()}
