"""What ``--long`` does when it cannot go on."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import long
from benchmarks.report import Line
from benchmarks.statistics import Summary
from clickstream_assets.local.stack.errors import StackError


class Servers:
    """Whose home may be on a full disk."""

    home = Path()


def too_slow(*_: object) -> None:
    """Of a machine on which live events are not counted in time."""
    raise TimeoutError("10 of 12 clicks were counted in the end")


def test_lines_measured_before_a_failure_are_printed(monkeypatch, capsys):
    def measured(_bench: object, _hour: int, lines: list[Line]) -> list[str]:
        lines.append(Line("an hour", Summary.of([3_210.0]), "events/s"))
        return []

    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**12))
    monkeypatch.setattr(long, "_measure_hours", measured)
    monkeypatch.setattr(long, "measure_latency", too_slow)
    with pytest.raises(TimeoutError):
        long.long_part(Servers(), 0, {})
    assert "| an hour | 3,210 events/s |" in capsys.readouterr().err


def test_a_disk_that_is_too_small_is_told_before_anything_is_sent(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=14 * 10**9))
    with pytest.raises(StackError, match=r"3,000,000 events may take 20 GB, .* has 14 GB left"):
        long.long_part(Servers(), 0, {})
