"""Which hours wait to be computed (design 4).

Each hour has a counter, *touched*, that ingestion raises after its rows are written and before the commit, and
a mark for each later step: the counter as that step's rows were known to include. A step reads the mark of the
step before it, then the rows, and when it has written them that mark becomes its own. Raised in between, the
counter runs ahead of the marks and the hour is done again, so nothing that came in during a run is lost. An
hour is stale while *touched* and *indexed* differ.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.domain.hours import HOUR_MS, hour_of_key, key_of_hour

LOOK_AHEAD_MS = 30 * 60 * 1000
"""How far time spent looks ahead: an event this early in an hour touches the hour before too."""

TOUCHED, ENRICHED, COMPUTED, INDEXED = "touched", "enriched", "computed", "indexed"
_COUNTER = b"hour:touched"


@dataclass(frozen=True, slots=True)
class HourState:
    """How often an hour was touched, and up to which of these touches each step has come."""

    touched: int = 0
    enriched: int = 0
    computed: int = 0
    indexed: int = 0

    @property
    def stale(self) -> bool:
        """Whether documents lag behind rows."""
        return self.touched != self.indexed


def touched_by(time_ms: int) -> tuple[int, ...]:
    """Hours whose metrics an event at ``time_ms`` can change."""
    hour, within = divmod(time_ms, HOUR_MS)
    return (hour, hour - 1) if within < LOOK_AHEAD_MS else (hour,)


def _key(hour: int) -> bytes:
    return f"state|{key_of_hour(hour)}".encode()


def _to_state(cells: Mapping[bytes, bytes]) -> HourState:
    marks = {name: int(cells.get(f"hour:{name}".encode(), b"0")) for name in (ENRICHED, COMPUTED, INDEXED)}
    (touched,) = struct.unpack(">q", cells[_COUNTER]) if _COUNTER in cells else (0,)
    return HourState(touched=touched, **marks)


class HourStates:
    """The counters and marks, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def touch(self, hours: Iterable[int]) -> None:
        """Raise the counter of each hour."""
        for hour in sorted(set(hours)):
            self._hbase.increment(self._table, _key(hour), _COUNTER)

    def read(self, hours: Iterable[int]) -> dict[int, HourState]:
        """The state of each hour, all zero for one that was never touched."""
        keys = {_key(hour): hour for hour in hours}
        found = self._hbase.get(self._table, list(keys))
        return {hour: _to_state(found.get(key, {})) for key, hour in keys.items()}

    def mark(self, step: str, marks: Mapping[int, int]) -> None:
        """Set ``step``'s mark of each hour that was ever touched."""
        column = f"hour:{step}".encode()
        self._hbase.mutate(
            self._table, (RowMutation(_key(hour), {column: str(mark).encode()}) for hour, mark in marks.items() if mark)
        )

    def all(self) -> dict[int, HourState]:
        """Every hour that was ever touched, in order."""
        return {
            hour_of_key(key.decode().split("|")[1]): _to_state(cells)
            for key, cells in self._hbase.scan(self._table, b"state|", b"state}")
        }
