"""Which days wait to be rolled up: of which hours' metrics each day's totals are (docs/decisions/0030-days.md).

An hour's metrics have a mark, *computed*, that moves whenever they are computed anew. A day remembers the marks of its
hours as it was rolled up of them. It is stale while one of them has moved on, while its documents, those of its totals
or those of its dimensions, are not of its last roll-up, while a check has found it wrong since, and once more when it
has ended.
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from time import time

from clickstream_assets.books.hour_states import HourState
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.books.table_schemas import LEDGER
from clickstream_assets.events.days import day_of_key, days_of, end_of_day_ms, hours_of_day, key_of_day
from clickstream_assets.stores.hbase.client import HBaseClient, RowMutation

_SHARE = 10
_CHECKED = ("daily_metrics", "es_daily_index", "es_dimensions_index")


@dataclass(frozen=True, slots=True)
class DayState:
    """How far a day is."""

    begun_ms: int = 0
    """When its last roll-up began: the time of the rows that this writes, later for each."""
    rolled_up_ms: int = 0
    """The same of the last one that came to its end."""
    indexed_ms: int = 0
    """The same of the one that its documents are of."""
    took_ms: int = 0
    """How long the last one took that came to its end."""
    covered: Mapping[int, int] = field(default_factory=dict)
    """By hour, up to which touch its metrics were computed that the day has counted."""
    columns: tuple[Cells, ...] = ()
    """Where the totals of the last roll-up that came to its end lie by column, by slice."""
    dimensions_ms: int = 0
    """As ``rolled_up_ms``, of the roll-up that the documents of its dimensions are of."""
    doubted_ms: int = 0
    """When a check last found something wrong that is to be mended; 0: never."""
    checked: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By asset and check, what it last found: nothing, or what is wrong in words."""

    def lacks(self, hours: Mapping[int, HourState]) -> bool:
        """Whether hours, of this day, have come to other metrics since."""
        return any(state.computed != self.covered.get(hour, 0) for hour, state in hours.items())

    def is_stale(self, hours: Mapping[int, HourState], day: int, now_ms: int) -> bool:
        """Whether it is to be rolled up: of other metrics, for its documents, as it has ended since, or is doubted."""
        is_of_open_day = self.rolled_up_ms < end_of_day_ms(day) <= now_ms and any(of.computed for of in hours.values())
        return self.lacks(hours) or self.has_documents_due or self.is_doubted or is_of_open_day

    @property
    def is_unfinished(self) -> bool:
        """Whether a roll-up has begun and come to no end."""
        return self.begun_ms != self.rolled_up_ms

    @property
    def is_doubted(self) -> bool:
        """Whether a check has found something wrong since the last roll-up began."""
        return self.doubted_ms > self.rolled_up_ms

    @property
    def has_documents_due(self) -> bool:
        """Whether documents are not of its last roll-up."""
        return any(of != self.rolled_up_ms for of in (self.indexed_ms, self.dimensions_ms))


def is_held(hours: Mapping[int, HourState]) -> bool:
    """Whether a failed check keeps the metrics of one of a day's hours from being brought up to date."""
    return any(state.held_before("es_index") for state in hours.values())


def of_day(states: Mapping[int, HourState], day: int) -> dict[int, HourState]:
    """The states of a day's hours, as far as those were ever touched."""
    return {hour: states[hour] for hour in hours_of_day(day) if hour in states}


def waiting_days(hours: Mapping[int, HourState], days: Mapping[int, DayState], now_ms: int, pause_ms: int) -> list[int]:
    """Days that a run could bring up to date, in order.

    One that is still being written to, as the open day is, waits until its last roll-up is ``pause_ms`` old. Every day
    waits ten times what that took: so days take a tenth of the time, however large they are. Without a pause, none.
    """
    waiting = []
    for day in days_of(hours):
        state, its_hours = days.get(day, DayState()), of_day(hours, day)
        if not state.is_stale(its_hours, day, now_ms) or is_held(its_hours):
            continue
        is_written_to = any(hour.waiting for hour in its_hours.values())
        pause = max(pause_ms if is_written_to else 0, _SHARE * state.took_ms) if pause_ms else 0
        if now_ms - state.begun_ms >= pause:
            waiting.append(day)
    return waiting


def _key(day: int) -> bytes:
    return f"day|{key_of_day(day)}".encode()


def _to_state(cells: Mapping[bytes, bytes]) -> DayState:
    values = LEDGER.decode(cells)
    steps = ("begun", "rolled_up", "indexed", "took", "dimensions")
    begun_ms, rolled_up_ms, indexed_ms, took_ms, dimensions_ms = (values.get(f"day_{step}", 0) for step in steps)
    covered = {int(hour): mark for hour, mark in values.get("day_covered", {}).items()}
    columns = tuple(Cells(*of_slice) for of_slice in values.get("day_columns", ()))
    doubted_ms = values.get("day_doubted", 0)
    checked = {asset: found for asset in _CHECKED if (found := values.get(f"day_checked_{asset}"))}
    return DayState(begun_ms, rolled_up_ms, indexed_ms, took_ms, covered, columns, dimensions_ms, doubted_ms, checked)


class DayStates:
    """The states of days, in the ledger's table."""

    def __init__(self, hbase: HBaseClient, table: str) -> None:
        self._hbase, self._table = hbase, table

    def read(self, days: Iterable[int]) -> dict[int, DayState]:
        """The state of each day, all zero for one that was never rolled up."""
        keys = {_key(day): day for day in days}
        rows = self._hbase.get(self._table, list(keys))
        return {day: _to_state(rows.get(key, {})) for key, day in keys.items()}

    def all(self) -> dict[int, DayState]:
        """Every day that was ever rolled up, in order."""
        rows = self._hbase.scan(self._table, b"day|", b"day}")
        return {day_of_key(key.decode().partition("|")[2]): _to_state(cells) for key, cells in rows}

    def begin(self, day: int) -> int:
        """The time of the rows of a roll-up that begins, behind all earlier ones; those write no more."""
        before = self.read([day])[day].begun_ms
        begun_ms = max(int(time() * 1000), before + 1)
        self._write(day, day_begun=begun_ms)
        return begun_ms

    def is_latest(self, day: int, begun_ms: int) -> bool:
        """Whether no other roll-up has begun since."""
        return self.read([day])[day].begun_ms == begun_ms

    def end(self, day: int, begun_ms: int, covered: Mapping[int, int], columns: Iterable[Cells]) -> None:
        """A roll-up has written all its rows, of hours as of these marks, and its totals by column."""
        marks = {str(hour): mark for hour, mark in covered.items()}
        took_ms = max(0, int(time() * 1000) - begun_ms)
        places = [astuple(of_slice) for of_slice in columns]
        self._write(day, day_rolled_up=begun_ms, day_took=took_ms, day_covered=marks, day_columns=places)

    def doubt(self, days: Iterable[int]) -> None:
        """Have days rolled up once more, compared row by row and document by document."""
        for day, state in self.read(days).items():
            self._write(day, day_doubted=max(int(time() * 1000), state.begun_ms + 1))

    def remember_checks(self, asset: str, day: int, found: Mapping[str, str]) -> None:
        """Keep what the checks of an asset say of a day: by check nothing, or what is wrong."""
        self._write(day, **{f"day_checked_{asset}": dict(found)})

    def mark_indexed(self, day: int, rolled_up_ms: int) -> None:
        self._write(day, day_indexed=rolled_up_ms)

    def mark_dimensions(self, day: int, rolled_up_ms: int) -> None:
        self._write(day, day_dimensions=rolled_up_ms)

    def _write(self, day: int, **values: object) -> None:
        self._hbase.mutate(self._table, [RowMutation(_key(day), LEDGER.encode(**values))])
