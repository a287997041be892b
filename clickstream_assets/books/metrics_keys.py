"""Ids of metrics documents, and keys of the rows in ``clickstream_metrics``."""

import hashlib
from collections.abc import Iterable
from math import ceil

from clickstream_assets.books.row_keys import contiguous
from clickstream_assets.events.hours import key_of_hour, rfc3339_of_hour


def document_id(hour: int, url: str, country: str) -> str:
    """Elasticsearch's ``_id``: SHA-256, in hex, of hour, url and country, joined by ``|``."""
    return hashlib.sha256(f"{rfc3339_of_hour(hour)}|{url}|{country}".encode()).hexdigest()


def metrics_key(hour: int, url: str, country: str) -> bytes:
    """Row key in ``clickstream_metrics``: the hour, so that an hour is one scan, then the document's id."""
    return f"{key_of_hour(hour)}|{document_id(hour, url, country)}".encode()


def metrics_key_range(first_hour: int, last_hour: int) -> tuple[bytes, bytes]:
    """Keys (start included, stop not) of the metrics of two hours and all between."""
    return f"{key_of_hour(first_hour)}|".encode(), f"{key_of_hour(last_hour)}}}".encode()


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
    prefix, _ = metrics_key_range(hour, hour)
    low, high = (ceil(DIGESTS * at / slices) for at in (number, number + 1))
    return prefix + b"%02x" % low, prefix + (b"g" if high == DIGESTS else b"%02x" % high)


DIGESTS = 256
"""An hour has so many slices at most."""
AT_MOST_PER_TASK = 40_000
"""Of real traffic a quarter to a fifth of these are rows. A task costs some 70 ms of processor time whatever it does;
if each is a row, what it holds takes some 60 MB."""
