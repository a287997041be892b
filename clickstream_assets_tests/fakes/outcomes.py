"""What becomes of messages, decided one after the other in memory."""

from dataclasses import dataclass, field

from clickstream_assets.ingest.outcomes import Tally, decoded, outcome
from clickstream_assets.stores.hbase.client import RowMutation


@dataclass(slots=True)
class Outcomes(Tally):
    """What became of messages, and what is to be put."""

    rows: list[RowMutation] = field(default_factory=list)
    letters: list[RowMutation] = field(default_factory=list)


def outcomes(messages, rules, stored):
    """Decide what becomes of messages; ``stored`` looks up the cell ``source`` of the rows that exist."""
    messages, whole = decoded(messages, rules), Outcomes()
    sources = dict(stored([message.key for message in messages if message.event is not None]))
    for message in messages:
        change, _ = outcome(message, whole, sources, rules)
        if change is not None:
            (whole.letters if message.event is None else whole.rows).append(change)
    return whole
