"""Which hours wait to be computed (docs/decisions/0003-marks-for-each-step.md).

Each hour has a counter, *touched*, that ingestion raises after its rows are written and before the commit. Each later
step has a mark: up to which touch it has come. A step reads the mark of the step before it, then the rows, and when its
own output is written it sets its mark to that. Rows that come in meanwhile raise the counter beyond the mark, so the
hour is computed again. An hour is stale while *touched* and *indexed* differ.

A failed blocking check *holds* its hour (docs/runbook.md): later steps leave the hour as it is until the check passes.
If the hour was touched since the check looked, it is tried again, for what was touched may have mended it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clickstream_assets.books.table_schemas import LEDGER
from clickstream_assets.events.hours import HOUR_MS, TIMEOUT_MS, hour_of_key, key_of_hour
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

TOUCHED, ENRICHED, COMPUTED, INDEXED = "touched", "enriched", "computed", "indexed"
CLOSED = "closed"
"""Set beside :data:`INDEXED` once the hour has ended: from then on its documents say that they are final."""
STEPS = {"raw_clicks": TOUCHED, "enriched_clicks": ENRICHED, "url_country_metrics": COMPUTED, "es_index": INDEXED}
"""The assets in their order, each with the column that says how far it is with an hour."""
CHECKED = ("raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")
"""The assets whose checks look at hours."""
_TOLD = LEDGER.columns["told"].key
_REFUSED = LEDGER.columns["refused_by_reason"].key
_AT_ALL_TIMES = tuple(
    LEDGER.columns[name].key
    for name in (
        *STEPS.values(),
        CLOSED,
        "doubted",
        "clicks",
        "users",
        "users_of",
        "told",
        *(f"held_by_{name}" for name in STEPS),
    )
)
"""What :meth:`HourStates.all` reads of each hour: the sensor asks for it every few seconds."""


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
    doubted: int = 0
    """The last touch by somebody who wants the hour computed whole: a hand, or an audit that found a difference."""
    clicks: int | None = None
    """Clicks of the hour's metrics when they were last computed."""
    users: int | None = None
    """People of the hour, exact, when its day was last rolled up."""
    users_of: int | None = None
    """``computed`` as it was then."""
    holds: Mapping[str, Hold] = field(default_factory=dict)
    """By asset, why its checks hold the hour."""
    closed: int = 0
    """As ``indexed``, when documents were last brought up to date behind the end of the hour; 0: never."""
    told: str = ""
    """State and reason that the hour's own document has; empty: it is to be written."""
    told_by: str = ""
    """The run that last brought the hour's documents up to date. Like what follows, :meth:`HourStates.all` lacks it."""
    refused_by_reason: Mapping[str, int] | None = None
    """Dead letters of the hour by reason, as they were last counted; None: not since they changed."""
    checked: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By asset and check, what it last found: nothing, or what is wrong in words."""

    @property
    def stale(self) -> bool:
        """Whether documents lag behind rows."""
        return self.touched != self.indexed

    @property
    def closes(self) -> bool:
        """Whether documents that were written while the hour was open are to be written once it has ended."""
        return bool(self.indexed) and not self.closed and not self.holds

    def mark_of(self, asset: str) -> int:
        """Up to which touch an asset has come."""
        return int(getattr(self, STEPS.get(asset, TOUCHED)))

    def lacks(self, asset: str) -> bool:
        """Whether the asset before it has come further."""
        assets = list(STEPS)
        return self.mark_of(asset) != self.mark_of(assets[assets.index(asset) - 1])

    def is_whole_due(self, asset: str) -> bool:
        """Whether the asset is to trust nothing of what it made of the hour before."""
        return self.mark_of(asset) < self.doubted or asset in self.holds

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
    values = LEDGER.decode(cells)
    holds = {asset: values.pop(f"held_by_{asset}", None) for asset in STEPS}
    checked = {asset: values.pop(f"checked_{asset}", None) for asset in CHECKED}
    return HourState(
        **values,
        holds={asset: Hold(tuple(hold["checks"]), hold["touched"]) for asset, hold in holds.items() if hold},
        checked={asset: found for asset, found in checked.items() if found},
    )


class HourStates:
    """The counters and marks, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def touch(self, hours: Iterable[int]) -> dict[int, int]:
        """Raise the counter of each hour; returns what it is now."""
        column = LEDGER.columns[TOUCHED].key
        return {hour: self._hbase.increment(self._table, _key(hour), column) for hour in sorted(set(hours))}

    def doubt(self, hours: Iterable[int]) -> None:
        """Touch hours, and have every later asset compute them whole."""
        self._write("doubted", self.touch(hours))

    def read(self, hours: Iterable[int]) -> dict[int, HourState]:
        """The state of each hour, all zero for one that was never touched."""
        keys = {_key(hour): hour for hour in hours}
        rows = self._hbase.get(self._table, list(keys))
        return {hour: _to_state(rows.get(key, {})) for key, hour in keys.items()}

    def mark(self, step: str, marks: Mapping[int, int]) -> None:
        """Set ``step``'s mark of each hour that was ever touched."""
        self._write(step, {hour: mark for hour, mark in marks.items() if mark})

    def remember_clicks(self, clicks: Mapping[int, int]) -> None:
        """Keep how many clicks each hour's metrics have, for other hours to be compared with."""
        self._write("clicks", clicks)

    def remember_users(self, users: Mapping[int, tuple[int, int]]) -> None:
        """Keep how many people each hour has, of metrics as of which mark, for its document, which is written again."""
        rows = (
            RowMutation(_key(hour), LEDGER.encode(users=count, users_of=mark), (_TOLD,))
            for hour, (count, mark) in users.items()
        )
        self._hbase.mutate(self._table, rows)

    def remember_refusals(self, reasons: Mapping[int, Mapping[str, int]]) -> None:
        """Keep each hour's dead letters by reason, for its document."""
        self._write("refused_by_reason", {hour: dict(of_hour) for hour, of_hour in reasons.items()})

    def remember_checks(
        self, asset: str, before: Mapping[int, HourState], found: Mapping[int, Mapping[str, str]]
    ) -> None:
        """Keep what the checks of an asset say of hours; where that is new, their documents are written again.

        ``before`` are the states of the hours. ``found`` has, by hour, each check that has ever looked, with nothing or
        what is wrong.
        """
        changed = {hour: of_hour for hour, of_hour in found.items() if of_hour != before[hour].checked.get(asset, {})}
        self._write(f"checked_{asset}", changed, (_TOLD,))

    def tell(self, told: Mapping[int, str], run_id: str = "") -> None:
        """Keep which state and reason each hour's document has been given, and by which run if it was one."""
        of_run = {"told_by": run_id} if run_id else {}
        rows = (RowMutation(_key(hour), LEDGER.encode(told=words, **of_run)) for hour, words in told.items())
        self._hbase.mutate(self._table, rows)

    def tell_anew(self, hours: Iterable[int]) -> None:
        """Have the documents of hours written again: what the ledger counts in them has changed."""
        self._hbase.mutate(self._table, (RowMutation(_key(hour), {}, (_TOLD, _REFUSED)) for hour in hours))

    def tell_again(self, hours: Iterable[int]) -> None:
        """Have the documents of hours written again, of counts as they are kept: their day's checks say more."""
        self._hbase.mutate(self._table, (RowMutation(_key(hour), {}, (_TOLD,)) for hour in hours))

    def _write(self, column: str, values: Mapping[int, Any], deletes: tuple[bytes, ...] = ()) -> None:
        rows = (RowMutation(_key(hour), LEDGER.encode(**{column: value}), deletes) for hour, value in values.items())
        self._hbase.mutate(self._table, rows)

    def hold(self, asset: str, before: Mapping[int, HourState], failed: Mapping[int, Iterable[str]]) -> None:
        """Hold the hours in which blocking checks of ``asset`` failed, release the others.

        ``before`` are the states of all hours that were checked, read before the checks looked; ``failed`` the names
        of the failed checks.
        """
        column = f"held_by_{asset}"
        changes = []
        for hour, state in before.items():
            if names := sorted(failed.get(hour, ())):
                hold = Hold(tuple(names), state.touched)
                changes.append(RowMutation(_key(hour), LEDGER.encode(**{column: hold})))
            elif asset in state.holds:
                changes.append(RowMutation(_key(hour), {}, (LEDGER.columns[column].key,)))
        self._hbase.mutate(self._table, changes)

    def all(self) -> dict[int, HourState]:
        """Every hour that was ever touched or checked in vain, in order; without what only its document needs."""
        return {
            hour_of_key(key.decode().split("|")[1]): _to_state(cells)
            for key, cells in self._hbase.scan(self._table, b"state|", b"state}", _AT_ALL_TIMES)
        }
