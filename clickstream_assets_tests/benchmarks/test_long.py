"""What becomes of lines when a later measurement fails."""

import pytest

from benchmarks import long
from benchmarks.report import Line
from benchmarks.statistics import Summary


def test_lines_measured_before_a_failure_are_printed(monkeypatch, capsys):
    class Servers:
        def show(self, *_: object) -> None:
            raise TimeoutError("10 of 12 clicks were counted in the end")

    def measured(_bench: object, _hour: int, lines: list[Line]) -> list[str]:
        lines.append(Line("an hour", Summary.of([3_210.0]), "events/s"))
        return []

    monkeypatch.setattr(long, "_measure_hours", measured)
    with pytest.raises(TimeoutError):
        long.long_part(Servers(), 0, {})
    assert "| an hour | 3,210 events/s |" in capsys.readouterr().err
