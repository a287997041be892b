"""How many people clicked in some hours, counted from the events by column: another way than metrics keep it."""

from collections.abc import Iterable

import pandas as pd
import pyarrow.compute as pc

from clickstream_assets.books import blocks
from clickstream_assets.books.blocks import BLOCK, CLICK, Place, place_of
from clickstream_assets.books.books import Books
from clickstream_assets.books.checkpoints import Checkpoints
from clickstream_assets.books.ledger_entries import Cells

MOST_AT_A_TIME = 1_000_000
"""User keys in memory: of more clicks, users are counted in several passes, each its own."""


def count_people(books: Books, hours: Iterable[int], clicks: int) -> int:
    """Distinct users of the clicks that some hours' metrics count; raises ValueError where a block is not all there.

    ``clicks``: about how many these are.
    """
    checkpoints = Checkpoints(books).read(hours)
    parts = books.ledger.parts(checkpoints)
    wanted: dict[Place, Cells] = {}
    for hour, checkpoint in checkpoints.items():
        cells = {place_of(part, hour): part.block.cells for part in parts[hour] if part.block is not None}
        wanted |= {place: of for place, of in cells.items() if place in checkpoint.covered}
    passes = clicks // MOST_AT_A_TIME + 1
    people = 0
    for number in range(passes):
        users: set[str] = set()
        for place, events in blocks.read(books.hbase, books.tables.blocks, BLOCK, wanted, blocks.CLICKS):
            if events is None:
                raise ValueError(f"the events by column of {place} are not what the ledger says")
            is_click = pc.and_(pc.equal(events.column("kind"), CLICK), pc.invert(events.column("bot")))
            keys = events.filter(is_click).column("user_key").unique().to_numpy(zero_copy_only=False)
            users.update(keys[pd.util.hash_array(keys) % passes == number])
        people += len(users)
    return people
