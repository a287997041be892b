"""Messages looked up, decided and put in batches, HBase's work going on beside ours.

One thread decides, in order; a few others wait for HBase. A batch is looked up while earlier ones are still being
decided and written, so what HBase says of its keys may be a few batches old. The rows decided since are kept until it
can say them itself: batch *n* is looked up once batch *n* - :data:`UNDER_WAY` is written, and decided knowing the rows
of those in between.

Where many rows of an hour will be asked for, it is scanned beforehand: for HBase that is half the work of finding them
by their keys. The rows decided since are kept to the end then.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from queue import LifoQueue
from typing import Self, TypeVar

from clickstream_assets.books.books import TableNames
from clickstream_assets.books.row_keys import hour_of, key_ranges
from clickstream_assets.ingest.outcomes import SOURCE, Decoded, Rules, Tally, outcome, size_of
from clickstream_assets.stores.hbase.client import BYTES_PER_CALL, ROWS_PER_CALL, HBaseClient, RowMutation

UNDER_WAY = 6
"""Batches that are being looked up or written, at most: what is held in memory."""
_AHEAD = 2
"""Batches being looked up behind the one that is decided."""
_CONNECTIONS = 3

Tallies = dict[tuple[int, int], Tally]
"""What became of the messages of offsets without a gap, by partition and the first of them."""

_T = TypeVar("_T")


@dataclass(slots=True)
class _Lookup:
    number: int
    messages: Sequence[Decoded]
    stored: "Future[dict[bytes, bytes]] | None"
    """Where the rows of those keys came from that had to be looked up."""
    puts: list[bytes] = field(default_factory=list)
    """Keys of rows that it puts and that are to be forgotten once HBase can say them."""
    written: "Future[None]" = field(init=False)
    """From when it is decided."""


class RowWriter:
    """Decides and puts messages that come in order of offset for each row key, with connections of its own.

    Use it in a ``with`` statement: what is still on its way when an error leaves it is waited for and given up.
    """

    def __init__(self, hbase: HBaseClient, tables: TableNames, rules: Rules, keep: Callable[[Decoded], None]) -> None:
        """``keep`` is told of each message that is kept, in order, as soon as that is decided."""
        self._keep = keep
        self._clicks, self._letters, self._rules = tables.clicks, tables.dead_letters, rules
        self._clients = [hbase.another() for _ in range(_CONNECTIONS)]
        self._free: LifoQueue[HBaseClient] = LifoQueue()  # the last used first: for little, one connection is opened
        for client in self._clients:
            self._free.put(client)
        self._threads = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="hbase")
        self._count = 0
        self._undecided: deque[_Lookup] = deque()
        self._decided: deque[_Lookup] = deque()
        self._sources: dict[bytes, bytes] = {}
        """Where rows came from: of those scanned beforehand, and of those that are on their way."""
        self._scanned: frozenset[int] = frozenset()
        self.tallies: Tallies = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        for client in self._clients:
            client.close()

    def scan(self, hours: Iterable[int]) -> None:
        """Read what is stored of some hours, to be called before anything is added: their rows are held in memory."""
        self._scanned = frozenset(hours)
        of_salts = [self._submit(partial(self._rows_in, ranges)) for ranges in key_ranges(self._scanned)]
        for rows in of_salts:
            self._sources |= rows.result()

    def _rows_in(self, ranges: Iterable[tuple[bytes, bytes]], client: HBaseClient) -> dict[bytes, bytes]:
        return {
            key: cells[SOURCE]
            for start, stop in ranges
            for key, cells in client.scan(self._clicks, start, stop, (SOURCE,))
        }

    def add(self, messages: Sequence[Decoded]) -> None:
        """Decide what becomes of messages and put it; they may be written only when :meth:`finish` returns."""
        start = size = 0
        for at, message in enumerate(messages):
            more = size_of(message)
            if at > start and (at - start == ROWS_PER_CALL or size + more > BYTES_PER_CALL):
                self._add(messages[start:at])
                start, size = at, 0
            size += more
        if messages:
            self._add(messages[start:])

    def finish(self) -> Tallies:
        """Wait until everything is written; returns :attr:`tallies`."""
        while self._undecided:
            self._decide(self._undecided.popleft())
        for batch in self._decided:
            batch.written.result()
        return self.tallies

    def _add(self, messages: Sequence[Decoded]) -> None:
        for batch in self._decided:
            if batch.number > self._count - UNDER_WAY:
                break
            batch.written.result()
        keys = [m.key for m in messages if m.event is not None and hour_of(m.key) not in self._scanned]

        def look_up(client: HBaseClient) -> dict[bytes, bytes]:
            return {key: cells[SOURCE] for key, cells in client.get(self._clicks, keys, (SOURCE,)).items()}

        self._undecided.append(_Lookup(self._count, messages, self._submit(look_up) if keys else None))
        self._count += 1
        if len(self._undecided) > _AHEAD:
            self._decide(self._undecided.popleft())

    def _decide(self, batch: _Lookup) -> None:
        while self._decided and self._decided[0].number <= batch.number - UNDER_WAY:
            self._forget(self._decided.popleft())
        sources: dict[bytes, bytes] = batch.stored.result() if batch.stored else {}
        rows: list[RowMutation] = []
        letters: list[RowMutation] = []
        counted_by, tally = None, Tally()
        for message in batch.messages:
            if counted_by != (message.partition, message.gapless_from):
                counted_by = message.partition, message.gapless_from
                tally = self.tallies.setdefault(counted_by, Tally())
            key = message.key
            if (source := self._sources.get(key)) is not None:  # what was decided since HBase was asked
                sources[key] = source
            change, is_kept = outcome(message, tally, sources, self._rules)
            if is_kept:
                self._keep(message)
            if change is None:
                continue
            if message.event is None:
                letters.append(change)
                continue
            rows.append(change)
            self._sources[key] = sources[key]
            if hour_of(key) not in self._scanned:
                batch.puts.append(key)

        def write(client: HBaseClient) -> None:
            client.mutate(self._clicks, rows)
            client.mutate(self._letters, letters)

        batch.messages = ()
        batch.written = self._submit(write)
        self._decided.append(batch)

    def _forget(self, batch: _Lookup) -> None:
        for key in batch.puts:
            del self._sources[key]

    def _submit(self, action: Callable[[HBaseClient], _T]) -> "Future[_T]":
        def call() -> _T:
            client = self._free.get()
            try:
                return action(client)
            finally:
                self._free.put(client)

        return self._threads.submit(call)
