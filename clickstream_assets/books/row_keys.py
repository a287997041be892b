"""Row keys of events and of metrics, and how the rows of hours are shared out to tasks by them.

An event lives at salt | hour | digest of its identity (docs/decisions/0002-row-key-salt.md). The salt spreads
one hour over regions, the hour makes an hour a short contiguous scan in each of them, and the digest of the identity
makes a second delivery land in the same row. Salt and hour are big-endian, so that keys sort as they read.
"""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, groupby, pairwise
from math import ceil

from clickstream_assets.events.days import key_of_day
from clickstream_assets.events.hours import key_of_hour, rfc3339_of_hour

SALTS = tuple(range(0, 256, 32))
"""First bytes of keys: 8 buckets, evenly over the byte."""
SALT_BOUNDS = tuple(bytes((salt,)) for salt in SALTS[1:])
"""Keys at which a table is split so that each salt has a region of its own."""
ROWS_PER_TASK = 20_000
"""Rows that one Spark task scans, in about half a second; a tenth of one it costs whatever it reads."""
DIGESTS = 256
"""An hour has so many slices at most."""
AT_MOST_PER_TASK = 40_000
"""Of real traffic a quarter to a fifth of these are rows. A task costs some 70 ms of processor time whatever it does;
if each is a row, what it holds takes some 60 MB."""
_HOUR_BYTES = 4
_DIGEST_BYTES = 16


def event_key(hour: int, event_id: str, user_key: str, event_type: str, url: str) -> bytes:
    """Row key of an event that brought its own id; ``hour`` in hours since the epoch.

    An id that different events share is the producer's mistake, so it is not all that makes an event. None of the four
    holds U+0000, which therefore tells where each ends.
    """
    return _key(hour, f"e{event_id}\0{user_key}\0{event_type}\0{url}".encode())


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
    """Hours as the (first, last) of each run of consecutive ones, both included, in order."""
    ordered = sorted(set(hours))
    for _, run in groupby(enumerate(ordered), key=lambda pair: pair[1] - pair[0]):
        in_a_row = [hour for _, hour in run]
        yield in_a_row[0], in_a_row[-1]


def key_ranges(hours: Iterable[int]) -> list[list[tuple[bytes, bytes]]]:
    """For each salt the key ranges (start included, stop not) that hold the rows of ``hours``."""
    spans = list(contiguous(hours))
    return [[(first_key(salt, first), first_key(salt, last + 1)) for first, last in spans] for salt in SALTS]


def scan_tasks(hours: Iterable[int], rows: int) -> list[list[tuple[bytes, bytes]]]:
    """For each Spark task the key ranges (start included, stop not) that it scans, to read the ``rows`` of ``hours``.

    Few rows are one task's; many are spread by salt, and by hour too, and then by digest.
    """
    hours = sorted(set(hours))
    if not hours:
        return []
    tasks = max(1, ceil(rows / ROWS_PER_TASK))
    if tasks <= len(SALTS):
        ranges = key_ranges(hours)
    else:
        slices = min(256, ceil(tasks / len(SALTS) / len(hours)))
        ranges = [[key_range] for hour in hours for salt in SALTS for key_range in _sliced(salt, hour, slices)]
    return [list(chain.from_iterable(ranges[task::tasks])) for task in range(min(tasks, len(ranges)))]


def first_key(salt: int, hour: int) -> bytes:
    """Where the rows of an hour begin that have a salt."""
    return bytes((salt,)) + hour.to_bytes(_HOUR_BYTES, "big")


def _sliced(salt: int, hour: int, slices: int) -> Iterator[tuple[bytes, bytes]]:
    """Key ranges that share out an hour's rows of one salt, by the first byte of their digests."""
    inner = [first_key(salt, hour) + bytes((256 * at // slices,)) for at in range(1, slices)]
    return pairwise((first_key(salt, hour), *inner, first_key(salt, hour + 1)))


def document_id(hour: int, url: str, country: str) -> str:
    """Elasticsearch's ``_id``: SHA-256, in hex, of hour, url and country, joined by ``|``."""
    return hashlib.sha256(f"{rfc3339_of_hour(hour)}|{url}|{country}".encode()).hexdigest()


def metrics_key(hour: int, url: str, country: str) -> bytes:
    """Row key in ``clickstream_metrics``: the hour, so that an hour is one scan, then the document's id."""
    return f"{key_of_hour(hour)}|{document_id(hour, url, country)}".encode()


def metrics_key_range(first_hour: int, last_hour: int) -> tuple[bytes, bytes]:
    """Keys (start included, stop not) of the metrics of two hours and all between."""
    return f"{key_of_hour(first_hour)}|".encode(), f"{key_of_hour(last_hour)}}}".encode()


def daily_document_id(day: int, scope: str, site: str | None, url: str | None, country: str | None) -> str:
    """Elasticsearch's ``_id``: SHA-256, in hex, of day, scope, site, url and country, joined by ``|``."""
    names = (key_of_day(day), scope, *(name or "" for name in (site, url, country)))
    return hashlib.sha256("|".join(names).encode()).hexdigest()


def daily_key_range(day: int) -> tuple[bytes, bytes]:
    """Keys (start included, stop not) of a day's rows: the day, so that it is one scan, then the document's id."""
    return f"{key_of_day(day)}|".encode(), f"{key_of_day(day)}}}".encode()


def metrics_tasks(hours: Iterable[int], at_most: int) -> list[list[tuple[bytes, bytes]]]:
    """For each Spark task the keys (start included, stop not) of its metrics: of hours, or of parts of large ones.

    ``at_most`` is what the hours have no more rows than together: as many as their events or clicks.
    """
    hours = sorted(set(hours))
    tasks = max(1, ceil(at_most / AT_MOST_PER_TASK))
    if tasks <= len(hours):
        dealt = (contiguous(hours[number::tasks]) for number in range(tasks))
        return [[metrics_key_range(first, last) for first, last in of_task] for of_task in dealt]
    slices = min(DIGESTS, ceil(tasks / max(1, len(hours))))
    return [[slice_key_range(hour, number, slices)] for hour in hours for number in range(slices)]


def slice_key_range(hour: int, number: int, slices: int) -> tuple[bytes, bytes]:
    """Keys (start included, stop not) of one of an hour's slices, by the first two hex digits of the document's id."""
    return sliced(metrics_key_range(hour, hour)[0], number, slices)


def sliced(prefix: bytes, number: int, slices: int) -> tuple[bytes, bytes]:
    """The same of keys that have a digest in hex behind a prefix."""
    low, high = (ceil(DIGESTS * at / slices) for at in (number, number + 1))
    return prefix + b"%02x" % low, prefix + (b"g" if high == DIGESTS else b"%02x" % high)
