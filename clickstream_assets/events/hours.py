"""Hours: numbers since the epoch inside, Dagster partition keys and RFC 3339 outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

HOUR_MS = 3_600_000
TIMEOUT_MS = 30 * 60 * 1000
"""Half an hour without a sign of life ends a visit, as web analytics usually has it; also the cap of one view."""
KEY_FORMAT = "%Y-%m-%d-%H:%M"


@lru_cache(maxsize=1 << 12)
def hour_of_key(key: str) -> int:
    """``2026-01-01-00:00`` to hours since the epoch; raises ValueError."""
    return int(datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC).timestamp()) // 3600


@lru_cache(maxsize=1 << 12)
def key_of_hour(hour: int) -> str:
    """Hours since the epoch to ``2026-01-01-00:00``."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime(KEY_FORMAT)


def rfc3339_of_hour(hour: int) -> str:
    """Hours since the epoch to ``2026-01-01T00:00:00Z``."""
    return datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def has_ended(hour: int, now_ms: int) -> bool:
    """Whether an hour is over at a time, in milliseconds since the epoch: before, it is open."""
    return (hour + 1) * HOUR_MS <= now_ms


def rfc3339(time_ms: int) -> str:
    """Milliseconds since the epoch to ``2026-01-31T12:00:00.000Z``."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hour_of_letter(record_time_ms: int, first_hour: int) -> int:
    """The hour that a dead letter counts in: its Kafka record's, the first partition for older ones."""
    return max(record_time_ms // HOUR_MS, first_hour)
