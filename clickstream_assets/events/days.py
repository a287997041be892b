"""Days: numbers since the epoch inside, in UTC; Dagster partition keys and dates outside."""

from collections.abc import Iterable
from datetime import UTC, date, datetime

from clickstream_assets.events.hours import HOUR_MS

HOURS_A_DAY = 24
KEY_FORMAT = "%Y-%m-%d"
_EPOCH = date(1970, 1, 1).toordinal()


def day_of_hour(hour: int) -> int:
    """The day that an hour, since the epoch, lies in."""
    return hour // HOURS_A_DAY


def days_of(hours: Iterable[int]) -> list[int]:
    """The days that some hours lie in, in order."""
    return sorted({day_of_hour(hour) for hour in hours})


def hours_of_day(day: int) -> range:
    return range(day * HOURS_A_DAY, (day + 1) * HOURS_A_DAY)


def end_of_day_ms(day: int) -> int:
    """Epoch milliseconds."""
    return (day + 1) * HOURS_A_DAY * HOUR_MS


def key_of_day(day: int) -> str:
    """Days since the epoch to ``2026-01-31``."""
    return date.fromordinal(_EPOCH + day).isoformat()


def day_of_key(key: str) -> int:
    """``2026-01-31`` to days since the epoch; raises ValueError."""
    return datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC).toordinal() - _EPOCH
