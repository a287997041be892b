"""Who clicked in some hours, counted from the events by column: another way than metrics keep it."""

from collections.abc import Iterable

import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, CLICK, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints


def people_of_hours(books: Books, hours: Iterable[int]) -> set[str]:
    """User keys of the clicks that some hours' metrics count; raises ValueError where a block is not all there."""
    people: set[str] = set()
    checkpoints = Checkpoints(books).read(hours)
    parts = books.ledger.parts(checkpoints)
    for hour, checkpoint in checkpoints.items():
        cells = {place_of(part, hour): part.block.cells for part in parts[hour] if part.block is not None}
        wanted = {place: of for place, of in cells.items() if place in checkpoint.covered}
        for place, clicks in blocks.read(books.hbase, books.tables.blocks, BLOCK, wanted, blocks.CLICKS):
            if clicks is None:
                raise ValueError(f"the events by column of {place} are not what the ledger says")
            is_click = pc.and_(pc.equal(clicks.column("kind"), CLICK), pc.invert(clicks.column("bot")))
            people.update(clicks.filter(is_click).column("user_key").unique().to_pylist())
    return people
