"""Which hours wait to be computed (docs/decisions/0003-marks-for-each-step.md).

Each hour has a counter, *touched*, that ingestion raises after its rows are written and before the commit, and
a mark for each later step: the counter as that step's rows were known to include. A step reads the mark of the
step before it, then the rows, and when it has written them that mark becomes its own. Raised in between, the
counter runs ahead of the marks and the hour is done again, so nothing that came in during a run is lost. An
hour is stale while *touched* and *indexed* differ.

A failed blocking check *holds* its hour (docs/runbook.md): later steps leave it as it is until the check passes.
What was touched since the check looked may mend the hour, so it is tried again.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import orjson

from clickstream_assets.clients.hbase import HBaseClient, RowMutation
from clickstream_assets.domain.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.domain.time_spent import TIMEOUT_MS

TOUCHED, ENRICHED, COMPUTED, INDEXED = "touched", "enriched", "computed", "indexed"
_COUNTER = b"hour:touched"
_CLICKS = b"hour:clicks"
_HELD = "hour:held_by_"

STEPS = {"raw_clicks": TOUCHED, "enriched_clicks": ENRICHED, "url_country_metrics": COMPUTED, "es_index": INDEXED}
"""The assets in their order, and what says how far each is with an hour."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why an hour is held: the checks of one asset that failed, and the counter as it was before they looked."""

    checks: tuple[str, ...]
    touched: int


@dataclass(frozen=True, slots=True)
class HourState:
    """How often an hour was touched, and up to which of these touches each step has come."""

    touched: int = 0
    enriched: int = 0
    computed: int = 0
    indexed: int = 0
    clicks: int | None = None
    """Clicks of the hour's metrics when they were last computed."""
    holds: Mapping[str, Hold] = field(default_factory=dict)
    """By asset, why its checks hold the hour."""

    @property
    def stale(self) -> bool:
        """Whether documents lag behind rows."""
        return self.touched != self.indexed

    def mark_of(self, asset: str) -> int:
        """Up to which touch an asset has come."""
        return int(getattr(self, STEPS.get(asset, TOUCHED)))

    def lacks(self, asset: str) -> bool:
        """Whether the asset before it has come further."""
        assets = list(STEPS)
        return self.mark_of(asset) != self.mark_of(assets[assets.index(asset) - 1])

    @property
    def waiting(self) -> bool:
        """Whether a run could bring the hour up to date: stale, and not held since it was last touched."""
        return self.stale and all(hold.touched != self.touched for hold in self.holds.values())

    def held_before(self, asset: str) -> dict[str, Hold]:
        """The holds of the assets that come before ``asset``."""
        earlier = list(STEPS)[: list(STEPS).index(asset)]
        return {name: self.holds[name] for name in earlier if name in self.holds}


def touched_by(time_ms: int) -> tuple[int, ...]:
    """Hours whose metrics an event at ``time_ms`` can change: time spent looks ahead from the hour before."""
    hour, within = divmod(time_ms, HOUR_MS)
    return (hour, hour - 1) if within < TIMEOUT_MS else (hour,)


def _key(hour: int) -> bytes:
    return f"state|{key_of_hour(hour)}".encode()


def _to_state(cells: Mapping[bytes, bytes]) -> HourState:
    marks = {name: int(cells.get(f"hour:{name}".encode(), b"0")) for name in (ENRICHED, COMPUTED, INDEXED)}
    (touched,) = struct.unpack(">q", cells[_COUNTER]) if _COUNTER in cells else (0,)
    holds = {
        asset: Hold(tuple(held["checks"]), held["touched"])
        for asset in STEPS
        if (cell := cells.get(f"{_HELD}{asset}".encode())) and (held := orjson.loads(cell))
    }
    return HourState(touched, **marks, clicks=int(cells[_CLICKS]) if _CLICKS in cells else None, holds=holds)


class HourStates:
    """The counters and marks, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def touch(self, hours: Iterable[int]) -> None:
        for hour in sorted(set(hours)):
            self._hbase.increment(self._table, _key(hour), _COUNTER)

    def read(self, hours: Iterable[int]) -> dict[int, HourState]:
        """The state of each hour, all zero for one that was never touched."""
        keys = {_key(hour): hour for hour in hours}
        rows = self._hbase.get(self._table, list(keys))
        return {hour: _to_state(rows.get(key, {})) for key, hour in keys.items()}

    def mark(self, step: str, marks: Mapping[int, int]) -> None:
        """Set ``step``'s mark of each hour that was ever touched."""
        column = f"hour:{step}".encode()
        self._hbase.mutate(
            self._table, (RowMutation(_key(hour), {column: str(mark).encode()}) for hour, mark in marks.items() if mark)
        )

    def remember_clicks(self, clicks: Mapping[int, int]) -> None:
        """Keep how many clicks each hour's metrics have, for other hours to be compared with."""
        self._hbase.mutate(
            self._table, (RowMutation(_key(hour), {_CLICKS: str(count).encode()}) for hour, count in clicks.items())
        )

    def hold(self, asset: str, before: Mapping[int, HourState], failed: Mapping[int, Iterable[str]]) -> None:
        """Hold the hours in which blocking checks of ``asset`` failed, release the others.

        ``before`` are the states of all hours that were checked, read before the checks looked; ``failed`` the names
        of the failed checks.
        """
        column = f"{_HELD}{asset}".encode()
        changes = []
        for hour, state in before.items():
            if names := sorted(failed.get(hour, ())):
                value = orjson.dumps({"checks": names, "touched": state.touched})
                changes.append(RowMutation(_key(hour), {column: value}))
            elif asset in state.holds:
                changes.append(RowMutation(_key(hour), {}, (column,)))
        self._hbase.mutate(self._table, changes)

    def all(self) -> dict[int, HourState]:
        """Every hour that was ever touched or checked in vain, in order."""
        return {
            hour_of_key(key.decode().split("|")[1]): _to_state(cells)
            for key, cells in self._hbase.scan(self._table, b"state|", b"state}")
        }
