"""The first hour under demo traffic: a day before the first start, so that a demo fills its picture."""

import contextlib

import click

from clickstream_assets.events.hours import HOUR_MS, hour_of_key, key_of_hour
from clickstream_assets.settings import Settings

_HOURS_BEFORE = 24


def demo_first_hour(configured: Settings, now_ms: int) -> str | None:
    """The first partition's key for a start with demo traffic, remembered for later ones; None where it stays as set.

    It is the whole hour 24 hours before the first start. ``CLICKSTREAM_FIRST_HOUR`` wins; and where Dagster has
    partitions already that began earlier, because of a file or an older release, they are kept.

    Raises ClickException if what is remembered is no hour, or the home can't be written.
    """
    if "first_hour" in configured.model_fields_set:
        return None
    home = configured.home.expanduser().absolute()
    remembered = home / "first-hour"
    try:
        if remembered.exists():
            return _checked(remembered.read_text().strip(), str(remembered))
        if (home / "dagster").exists():
            return None
        key = key_of_hour(now_ms // HOUR_MS - _HOURS_BEFORE)
        home.mkdir(parents=True, exist_ok=True)
        remembered.write_text(key + "\n")
    except OSError as error:
        raise click.ClickException(
            f"{remembered} cannot be read or written ({error}): set CLICKSTREAM_HOME to a folder of yours."
        ) from error
    return key


def forget_demo_first_hour(configured: Settings) -> None:
    """For a start with a file, whose hours begin earlier: later demo traffic must not take them out of sight."""
    if "first_hour" in configured.model_fields_set:
        return
    with contextlib.suppress(OSError):  # a home that cannot be written is an error of whoever writes to it
        (configured.home.expanduser().absolute() / "first-hour").unlink(missing_ok=True)


def _checked(key: str, file: str) -> str:
    try:
        if key_of_hour(hour_of_key(key)) == key:
            return key
    except ValueError:
        pass
    raise click.ClickException(f"{file} holds {key!r}, which is no whole hour like 2026-01-31-12:00: delete it.")
