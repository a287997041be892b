"""What tells of a producer that is wrong though nothing of it is refused. Each looks at one hour, and only warns.

All of it is counted as messages are read, in the ledger: no check scans a row for it. Duplicates belong to no event
hour of their own; the hour that their Kafka records are of is judged by them, for that is when they were sent.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clickstream_assets.checks.reporting import Finding, share

if TYPE_CHECKING:
    from clickstream_assets.domain.ledger import HourShare


def has_clicks(shares: "Sequence[HourShare]", most: int) -> Finding:
    """Whether there is an event of a click type, where an hour has more than ``most`` events."""
    kept, others = sum(part.kept for part in shares), sum(part.other_types for part in shares)
    words = f"{kept - others} of {kept} events are of a click type (warns where none of more than {most} is)"
    return Finding(kept <= most or others < kept, words, {"events": kept, "of a click type": kept - others})


def few_duplicates(shares: "Sequence[HourShare]", most: float) -> Finding:
    """Whether few messages of an hour say what an earlier one has said."""
    duplicates = sum(part.duplicates for part in shares)
    return share(duplicates, duplicates + sum(part.kept for part in shares), most, "are duplicates")


def clocks_near(shares: "Sequence[HourShare]", most: float) -> Finding:
    """Whether few events of an hour come from clocks that had to be corrected by over an hour."""
    corrected = sum(part.corrected for part in shares)
    return share(corrected, sum(part.kept for part in shares), most, "have a clock that was off by over an hour")


def few_urls(urls: int, most: int) -> Finding:
    """Whether an hour has no more than ``most`` distinct urls."""
    return Finding(urls <= most, f"{urls} distinct urls (warns above {most})", {"urls": urls})
