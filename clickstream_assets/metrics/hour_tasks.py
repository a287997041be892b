"""One hour to compute as workers need it, and what becomes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clickstream_assets.books.blocks import Place
from clickstream_assets.books.checkpoints import People, Sums
from clickstream_assets.books.ledger_entries import Cells
from clickstream_assets.events.url_limits import CountedUrls


@dataclass(slots=True)
class Computed(Sums):
    """What became of one hour's metrics."""

    written: int = 0
    """Rows that are new or changed."""
    deleted: int = 0
    """Rows that the result lacks."""
    named: list[str] = field(default_factory=list)
    """Ids of some of these rows, where they were compared one by one."""
    people: list[People] = field(default_factory=list)
    """Where who clicked what lies now."""
    audience: list[People] = field(default_factory=list)
    """Where who came with what lies now."""


@dataclass(frozen=True, slots=True)
class HourTask:
    """One hour to compute, as a worker needs it."""

    hour: int
    blocks: Mapping[Place, Cells]
    audiences: Mapping[Place, Cells | None]
    """Who came with what, of each block of the hour itself; None where that is not known."""
    new: frozenset[Place]
    """Of the blocks, those that the totals do not count: all of them if the hour is computed whole."""
    totals: tuple[Cells, ...]
    """By slice; none if the hour is computed whole."""
    unfinished: Sequence[tuple[bytes, bytes]]
    """Lists of runs that came to no checkpoint, by row key and column: what they name is written whatever it is."""
    slices: int
    stamp_ms: int
    run_id: str
    counted: CountedUrls
    people: tuple[People, ...] = ()
    """Who clicked what, of what the totals count."""
    audience: tuple[People, ...] = ()
    """Who came with what, of what the totals count."""
    dry_run: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.totals

    @property
    def is_bounding(self) -> bool:
        """Whether it takes the hour's clicks to tell which urls count by name."""
        return self.is_whole and self.counted.limits.most > 0

    def with_kept(self, clicks: Iterable[tuple[bytes, int]]) -> "HourTask":
        """The same where these are the hour's urls, as digests with their clicks."""
        return replace(self, counted=self.counted.bounded(clicks))

    @property
    def digests(self) -> dict[Place, str]:
        """By block, of all that is counted of it."""
        audiences = {place: cells.digest for place, cells in self.audiences.items() if cells is not None}
        return {place: cells.digest + audiences.get(place, "") for place, cells in self.blocks.items()}


class Unfit(Exception):
    """Blocks, or totals, that are not what the books say."""

    def __init__(self, places: Iterable[Place] = ()) -> None:
        super().__init__()
        self.places = tuple(places)


@dataclass(slots=True)
class Slice(Computed):
    hashed_urls: Any = None
