"""Messages that an implementation of the contract is likely to get wrong, each with what must become of it.

Most are written by hand, with the outcome that the contract gives them. The others (``drawn_…``) are drawn by a seeded
generator from the kinds of messages that real producers send, and golden.py says what becomes of them. The acceptance
tests compare totals and metrics with golden.py's. Inputs on which contract and golden.py differ are left out.

    python -m clickstream_assets_tests.hard_cases FILE     writes the envelopes, prints the first hour
"""

from collections import Counter
from functools import lru_cache
from pathlib import Path

from clickstream_assets.events.message_files import Message, write_envelope
from clickstream_assets_tests.hard_cases import (
    bodies,
    clients,
    clocks,
    drawn_bodies,
    drawn_clients,
    drawn_clocks,
    drawn_ids,
    drawn_urls,
    drawn_visits,
    fields,
    moments,
    people,
    segment,
    twice,
    urls,
    visits,
)
from clickstream_assets_tests.hard_cases.book import (
    BRITISH,
    CHROME,
    DUPLICATE,
    FRENCH,
    FRENCH_6,
    GERMAN,
    GERMAN_6,
    GOOGLEBOT,
    HOUR,
    REASONS,
    SITE,
    SPAN_MS,
    STORED,
    Book,
    HardCase,
    first_hour,
    first_hour_ms,
    rfc3339,
)

__all__ = [
    "BRITISH",
    "CHROME",
    "DUPLICATE",
    "FRENCH",
    "FRENCH_6",
    "GERMAN",
    "GERMAN_6",
    "GOOGLEBOT",
    "HOUR",
    "REASONS",
    "SITE",
    "SPAN_MS",
    "STORED",
    "HardCase",
    "cases",
    "expected_counts",
    "first_hour",
    "first_hour_ms",
    "hard_cases",
    "rfc3339",
    "write_file",
]

CHAPTERS = (
    bodies.broken_messages,
    fields.fields,
    fields.text_and_extras,
    moments.timestamps,
    moments.edges_of_time,
    urls.urls,
    clients.addresses,
    clients.agents,
    segment.segment,
    twice.duplicates,
    visits.sessions,
    visits.engagement,
    clocks.device_clocks,
    clocks.late_and_out_of_order,
    people.users,
    bodies.big_messages,
    drawn_bodies.nesting,
    drawn_bodies.numbers,
    drawn_clients.clients,
    drawn_clients.long_texts,
    drawn_clocks.clocks,
    drawn_ids.shared_ids,
    drawn_ids.words_for_nobody,
    drawn_urls.pages,
    drawn_urls.urls,
    drawn_visits.visits,
)


def cases(now_ms: int) -> list[HardCase]:
    """Every case, in the order to send them."""
    return list(_cases(now_ms))


@lru_cache(maxsize=4)
def _cases(now_ms: int) -> list[HardCase]:
    book = Book(now_ms)
    for chapter in CHAPTERS:
        chapter(book)
    return book.cases


def hard_cases(now_ms: int) -> list[Message]:
    """The messages in the order to send them, with record times from three weeks before now until now, or without."""
    return [case.message for case in cases(now_ms)]


def expected_counts(now_ms: int) -> Counter[str]:
    """How many cases end in each outcome."""
    return Counter(case.outcome for case in cases(now_ms))


def write_file(path: Path, now_ms: int, *, with_ids_only: bool = False) -> None:
    """Write the cases as envelopes; without id-less ones on request, for those count again when sent again."""
    with path.open("w", encoding="utf-8") as file:
        for case in cases(now_ms):
            if case.has_id or case.outcome != STORED or not with_ids_only:
                write_envelope(file, case.message)
