"""An HBase client on happybase that reconnects and resends.

The Thrift server closes idle connections after a minute and a restart drops them all, so every call goes
through the one retry policy. Resending is safe because callers write by deterministic keys; the one call that
is not idempotent, :meth:`HBaseClient.increment`, may count twice after a lost answer, and says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar

import happybase  # importing it makes the module Hbase_thrift

import Hbase_thrift as thrift  # isort: skip
from thriftpy2.thrift import TClient

from clickstream_assets.stores.hbase.filters import KEYS_ONLY, SIZES_ONLY, walked
from clickstream_assets.stores.hbase.thrift_connection import LOST, ThriftConnection, require_sign_in
from clickstream_assets.stores.hbase.thrift_rows import SCANS, Key, Row, RowMutation, SharedMutation, mutate_rows
from clickstream_assets.stores.retries import PATIENCE_SECONDS, retrying

ROWS_PER_CALL = 2_000
"""Rows in one batch of puts or gets: beyond 2,000 to 4,000 a larger batch is no faster."""
BYTES_PER_CALL = 4 << 20
"""Of cells in one call, or one row that is larger. The Thrift server holds a call or an answer several times over, for
each connection, and its default heap is 256 MB."""
SCANNED_PER_CALL = 5_000


def rows_per_call(row_bytes: int) -> int:
    """How many rows of up to so many bytes an answer may hold; Thrift bounds answers by rows alone."""
    return max(1, min(SCANNED_PER_CALL, BYTES_PER_CALL // row_bytes))


_AHEAD_ROWS = 5_000
"""What Thrift asks HBase for at a time, cut at 2 MiB by both of them (``hbase.client.scanner.max.result.size``)."""
_T = TypeVar("_T")


def _is_passing(error: BaseException) -> bool:
    """Whether the server may come back: lost connections and regions that move, not unknown tables."""
    if isinstance(error, (thrift.IllegalArgument, thrift.AlreadyExists)):
        return False
    text = str(getattr(error, "message", error))
    return isinstance(error, LOST) and "NotFoundException" not in text and "NoSuchColumnFamily" not in text


_R = TypeVar("_R", Row, Key)


class HBaseClient:
    """One connection, made on first use. Not for several threads at a time.

    Each answer is waited for up to ``timeout_ms``, a lost server for ``patience_seconds``.
    """

    def __init__(
        self, host: str, port: int, timeout_ms: int = 60_000, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.host, self.port, self._timeout_ms, self._patience = host, port, timeout_ms, patience_seconds
        self._connection: happybase.Connection | None = None

    def another(self) -> "HBaseClient":
        """A client of the same server with a connection of its own, for another thread."""
        return HBaseClient(self.host, self.port, self._timeout_ms, self._patience)

    def __getstate__(self) -> dict[str, Any]:
        """On its way to another process it is as one that :meth:`another` gives."""
        return vars(self) | {"_connection": None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*LOST):
                connection.close()

    def _call(self, action: Callable[[Any], _T]) -> _T:
        """``action(connection)``, again on a new connection when the server was lost."""

        def attempt() -> _T:
            try:
                if self._connection is None:
                    require_sign_in(self.host, self.port)
                    self._connection = ThriftConnection(self.host, self.port, self._timeout_ms)
                return action(self._connection)
            except LOST:
                self.close()
                raise

        return retrying(_is_passing, self._patience)(attempt)

    # Tables

    def tables(self) -> set[str]:
        return {name.decode() for name in self._call(lambda connection: connection.tables())}

    def create_table(self, name: str, families: Mapping[str, Mapping[str, Any]]) -> None:
        """Make a table with happybase's options for each family; one that is there already is left as it is."""
        with suppress(thrift.AlreadyExists):
            self._call(
                lambda connection: connection.create_table(
                    name, {family: dict(options) for family, options in families.items()}
                )
            )

    def families(self, table: str) -> dict[str, dict[str, Any]]:
        """A table's column families with happybase's options for each; raises Thrift's IOError if it is not there."""
        families = self._call(lambda connection: connection.table(table).families())
        return {name.decode(): options for name, options in families.items()}

    # Rows

    def get(
        self, table: str, keys: Sequence[bytes], columns: Sequence[bytes] = (), *, batch_rows: int = ROWS_PER_CALL
    ) -> dict[bytes, dict[bytes, bytes]]:
        """The rows of ``keys`` that exist, each with those of ``columns`` (all by default) that it has.

        ``batch_rows`` are asked for at a time: see :func:`rows_per_call`.
        """
        cells_by_key: dict[bytes, dict[bytes, bytes]] = {}
        for start in range(0, len(keys), batch_rows):
            batch = list(keys[start : start + batch_rows])
            rows = self._call(
                lambda connection, batch=batch: connection.client.getRowsWithColumns(  # type: ignore[misc]
                    table.encode(), batch, list(columns) or None, {}
                )
            )
            cells_by_key.update(
                (row.row, {name: cell.value for name, cell in row.columns.items()}) for row in rows if row.columns
            )
        return cells_by_key

    def mutate(self, table: str, rows: Iterable[RowMutation | SharedMutation], time_ms: int | None = None) -> int:
        """Apply row mutations in batches; returns how many rows were sent. Atomic for a row, not over rows.

        With ``time_ms`` (since the epoch) cells get that time instead of the server's: what has a later one hides it.
        A batch ends before :data:`ROWS_PER_CALL` or :data:`BYTES_PER_CALL`; a larger row goes alone.
        """
        sent = size = 0
        batch: list[bytes] = []
        for row in rows:
            encoded = row.encoded()
            if batch and (len(batch) == ROWS_PER_CALL or size + len(encoded) > BYTES_PER_CALL):
                self._send(table, batch, time_ms)
                sent, batch, size = sent + len(batch), [], 0
            batch.append(encoded)
            size += len(encoded)
        self._send(table, batch, time_ms)
        return sent + len(batch)

    def _send(self, table: str, batch: list[bytes], time_ms: int | None) -> None:
        def send(connection: Any) -> None:
            connection.transport.write(call)
            connection.transport.flush()
            connection.client._recv(name)

        if batch:
            name, call = mutate_rows(table, batch, time_ms)
            self._call(send)

    def increment(self, table: str, key: bytes, column: bytes) -> int:
        """Add one to a counter cell and return it. A lost answer can make it two: for uses where more is harmless."""
        return int(self._call(lambda connection: connection.client.atomicIncrement(table.encode(), key, column, 1)))

    def last_before(self, table: str, stop: bytes, floor: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
        """The row with the greatest key in ``floor`` (included) to ``stop`` (not), or None."""

        def read(connection: Any) -> tuple[bytes, dict[bytes, bytes]] | None:
            scan = thrift.TScan(startRow=stop, caching=2, reversed=True)
            scanner = connection.client.scannerOpenWithScan(table.encode(), scan, {})
            try:
                for row in connection.client.scannerGetList(scanner, 2):
                    if row.row < stop:
                        cells = {name: cell.value for name, cell in row.columns.items()}
                        return (row.row, cells) if row.row >= floor else None
            finally:
                connection.client.scannerClose(scanner)
            return None

        return self._call(read)

    def scan_batches(
        self,
        table: str,
        start: bytes,
        stop: bytes,
        columns: Sequence[bytes] = (),
        *,
        filter_string: bytes | None = None,
        batch_rows: int = SCANNED_PER_CALL,
        large_cells: bool = False,
    ) -> Iterator[list[Row]]:
        """Rows from ``start`` (included) to ``stop`` (not) in key order, in lists of ``batch_rows``.

        Each row has those of ``columns``, whole families or ``family:qualifier``, that it has, and of all their
        families what has one of the qualifiers; one without any is left out. Say ``large_cells`` where a family holds
        large cells that are not asked for, which are worth a search to step over.
        After a lost connection it goes on behind the last row it gave.
        """
        if not large_cells:
            columns, filter_string = walked(columns, filter_string)
        return self._scan(Row, table, start, stop, columns, filter_string, batch_rows)

    def scan_keys(
        self, table: str, start: bytes, stop: bytes, families: Sequence[bytes] = (), *, filter_string: bytes = KEYS_ONLY
    ) -> Iterator[list[Key]]:
        """Like :meth:`scan_batches` with whole families, keys alone."""
        return self._scan(Key, table, start, stop, families, filter_string, SCANNED_PER_CALL)

    def _scan(
        self,
        kind: type[_R],
        table: str,
        start: bytes,
        stop: bytes,
        columns: Sequence[bytes],
        filter_string: bytes | None,
        batch_rows: int,
    ) -> Iterator[list[_R]]:
        scanner: int | None = None

        def fetch(connection: Any) -> list[_R]:
            nonlocal scanner
            try:
                if scanner is None:
                    scan = thrift.TScan(startRow=start, stopRow=stop, columns=list(columns) or None)
                    scan.caching, scan.filterString = _AHEAD_ROWS if batch_rows > 1 else 1, filter_string
                    scanner = connection.client.scannerOpenWithScan(table.encode(), scan, {})
                client = TClient(SCANS[kind], connection.client._iprot, connection.client._oprot)
                return list(client.scannerGetList(scanner, batch_rows))
            except LOST:
                scanner = None
                raise

        try:
            while rows := self._call(fetch):
                start = rows[-1].row + b"\0"
                yield rows
                if len(rows) < batch_rows:
                    return
        finally:
            if scanner is not None and self._connection is not None:
                with suppress(*LOST):
                    self._connection.client.scannerClose(scanner)

    def scan(
        self,
        table: str,
        start: bytes,
        stop: bytes,
        columns: Sequence[bytes] = (),
        *,
        filter_string: bytes | None = None,
        batch_rows: int = SCANNED_PER_CALL,
        large_cells: bool = False,
    ) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
        """Rows from ``start`` (included) to ``stop`` (not) in key order: key and cells. See :meth:`scan_batches`."""
        batches = self.scan_batches(
            table, start, stop, columns, filter_string=filter_string, batch_rows=batch_rows, large_cells=large_cells
        )
        for rows in batches:
            for row in rows:
                yield row.row, {name: cell.value for name, cell in row.columns.items()}

    def sizes(self, table: str, start: bytes, stop: bytes, column: bytes) -> Iterator[tuple[bytes, int]]:
        """Key and bytes of each cell of ``column`` from ``start`` (included) to ``stop`` (not); no cell is sent."""
        for rows in self._scan(Row, table, start, stop, [column], SIZES_ONLY, SCANNED_PER_CALL):
            yield from ((row.row, int.from_bytes(row.columns[column].value, "big")) for row in rows)

    def count(self, table: str, start: bytes, stop: bytes) -> int:
        """Number of rows from ``start`` (included) to ``stop`` (not)."""
        return sum(len(keys) for keys in self.scan_keys(table, start, stop))
