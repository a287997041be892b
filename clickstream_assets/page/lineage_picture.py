"""Where a document's field comes from, as boxes and arrows: from the field back to what is in a message."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from clickstream_assets.events.fields import Field
from clickstream_assets.evidence.lineage import ASSETS

INDICES = {"hour": "es_index", "day": "es_daily_index", "dimension": "es_dimensions_index"}
"""The assets that write documents, by what a document's numbers are of."""
TITLES = {
    "es_index": ("Number", "document in Elasticsearch, of an hour"),
    "es_daily_index": ("Number", "document in Elasticsearch, of a day"),
    "es_dimensions_index": ("Number", "document in Elasticsearch, of a browser, a city and so on"),
    "daily_metrics": ("Put together", "row of the day in HBase"),
    "url_country_metrics": ("Counted", "row of the metrics in HBase"),
    "enriched_clicks": ("Enriched", "click with country and browser, in HBase"),
    "raw_clicks": ("Received", "click as it came, in HBase"),
    "clickstream_topic": ("Sent", "message in Kafka"),
}
BOX_WIDTH, BOX_HEIGHT = 156, 26
_COLUMN, _ROW, _HEAD = 204, 36, 44


@dataclass(frozen=True, slots=True)
class Box:
    """A field of a step; ``x`` and ``y`` are its upper left corner, in pixels."""

    step: str
    field: Field
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """From the field that a value comes from to the one that has it."""

    source: Box
    target: Box

    @property
    def path(self) -> str:
        """Of SVG, from the left edge of the one to the right edge of the other."""
        x1, y1 = self.source.x, self.source.y + BOX_HEIGHT // 2
        x2, y2 = self.target.x + BOX_WIDTH, self.target.y + BOX_HEIGHT // 2
        middle = (x1 + x2) // 2
        return f"M{x1},{y1} C{middle},{y1} {middle},{y2} {x2 + 5},{y2}"


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes by step, arrows between neighbours, and the size of it all in pixels."""

    columns: dict[str, list[Box]]
    arrows: list[Arrow]
    width: int
    height: int


def fields(of: str = "hour") -> list[str]:
    """Fields of documents (of :data:`INDICES`) that a lineage can be drawn of. Raises KeyError."""
    return list(ASSETS[INDICES[of]].columns)


def picture(name: str, of: str = "hour") -> Picture:
    """The lineage of a document's field. Raises KeyError if documents have no such field."""
    steps = list(_steps(INDICES[of]))
    wanted: dict[str, list[str]] = {steps[0]: [name]}
    for step, above in pairwise(steps):
        columns = ASSETS[step].columns
        found = {upstream for field in wanted[step] for upstream in columns[field].upstream}
        wanted[above] = [field for field in ASSETS[above].columns if field in found]
    rows = max(len(names) for names in wanted.values())
    boxes = {step: _column(place, step, names, rows) for place, (step, names) in enumerate(wanted.items())}
    arrows = [
        Arrow(source, target)
        for step, above in pairwise(steps)
        for target in boxes[step]
        for source in boxes[above]
        if source.field.name in target.field.upstream
    ]
    return Picture(boxes, arrows, _COLUMN * len(steps) - (_COLUMN - BOX_WIDTH), _HEAD + rows * _ROW)


def _steps(asset: str | None) -> Iterator[str]:
    """From the document back to the message."""
    while asset is not None:
        yield asset
        asset = ASSETS[asset].upstream


def _column(place: int, step: str, names: list[str], rows: int) -> list[Box]:
    """Boxes of a step one below the other, in the middle of the picture's height."""
    first = _HEAD + (rows - len(names)) * _ROW // 2
    columns = ASSETS[step].columns
    return [Box(step, columns[name], place * _COLUMN, first + number * _ROW) for number, name in enumerate(names)]
