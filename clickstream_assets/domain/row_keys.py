"""Where an event lives in HBase: salt | hour | digest of its id (design 2).

The salt spreads one hour over regions, the hour makes an hour a short contiguous scan in each of them, and the
digest of the event id makes a second delivery land in the same row. Salt and hour are big-endian, so that keys
sort as they read.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, groupby

SALTS = tuple(range(0, 256, 32))
"""First bytes of keys: 8 buckets, evenly over the byte."""
SALT_BOUNDS = tuple(bytes((salt,)) for salt in SALTS[1:])
"""Keys at which a table is split so that each salt has a region of its own."""
ROWS_PER_TASK = 10_000
"""Rows that one Spark task scans: it costs a tenth of a second and more whatever it reads, and reads these in that."""
_HOUR_BYTES = 4
_DIGEST_BYTES = 16
KEY_BYTES = 1 + _HOUR_BYTES + _DIGEST_BYTES


def event_key(hour: int, event_id: str) -> bytes:
    """Row key of an event that brought its own id; ``hour`` in hours since the epoch."""
    return _key(hour, b"e" + event_id.encode())


def derived_key(hour: int, topic: str, partition: int, offset: int, record_time_ms: int) -> bytes:
    """Row key of an event without an id: its place in Kafka, in a namespace that no event id can reach."""
    return _key(hour, f"k{topic}/{partition}/{offset}/{record_time_ms}".encode())


def _key(hour: int, identity: bytes) -> bytes:
    digest = hashlib.sha256(identity).digest()
    return bytes((digest[-1] & 0xE0,)) + hour.to_bytes(_HOUR_BYTES, "big") + digest[:_DIGEST_BYTES]


def hour_of(key: bytes) -> int:
    """The event hour of a row key, in hours since the epoch."""
    return int.from_bytes(key[1 : 1 + _HOUR_BYTES], "big")


def contiguous(hours: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Stretches of consecutive hours as (first, last)."""
    ordered = sorted(set(hours))
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        stretch = [hour for _, hour in run]
        yield stretch[0], stretch[-1]


def key_ranges(hours: Iterable[int]) -> list[list[tuple[bytes, bytes]]]:
    """For each salt the key ranges (start included, stop not) that hold the rows of ``hours``."""
    stretches = list(contiguous(hours))
    return [
        [
            (
                bytes((salt,)) + first.to_bytes(_HOUR_BYTES, "big"),
                bytes((salt,)) + (last + 1).to_bytes(_HOUR_BYTES, "big"),
            )
            for first, last in stretches
        ]
        for salt in SALTS
    ]


def scan_tasks(hours: Iterable[int], rows: int) -> list[list[tuple[bytes, bytes]]]:
    """For each Spark task the key ranges (start included, stop not) that it scans, to read the ``rows`` of ``hours``.

    Few rows are one task's; many are spread by salt, and by hour too.
    """
    hours = sorted(set(hours))
    tasks = max(1, -(-rows // ROWS_PER_TASK))
    parts = [key_ranges(hours)] if tasks <= len(SALTS) else [key_ranges([hour]) for hour in hours]
    ranges = [of_salt for part in parts for of_salt in part if of_salt]
    return [list(chain.from_iterable(ranges[task::tasks])) for task in range(min(tasks, len(ranges)))]
