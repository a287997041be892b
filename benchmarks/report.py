"""Figures as Markdown tables: the same text on the terminal and in docs/benchmarks.md."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.statistics import Summary, Target

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
LONG_HEADING = "## The long run"


@dataclass(frozen=True, slots=True)
class Line:
    """A figure, perhaps beside its yardstick, perhaps with a target for it, or for its ratio to the yardstick."""

    what: str
    figure: Summary
    unit: str
    yardstick: str = ""
    yardstick_figure: Summary | None = None
    ratio: Summary | None = None
    target: Target | None = None

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return self.target.is_met((self.ratio or self.figure).median) if self.target else None

    def cells(self) -> list[str]:
        """The line of the table."""
        met = {True: "met", False: "**missed**", None: ""}[self.is_met]
        return [
            self.what,
            f"{_words(self.figure)} {self.unit}".rstrip(),
            self.yardstick,
            _words(self.yardstick_figure) if self.yardstick_figure else "",
            _words(self.ratio, 2) if self.ratio else "",
            self._target_in_words(),
            met,
        ]

    def _target_in_words(self) -> str:
        if self.target is None:
            return ""
        sign, digits = "≥" if self.target.at_least else "<", 2 if self.ratio else 0
        return f"{sign} {_number(self.target.value, digits)}{'' if self.ratio else f' {self.unit}'}".rstrip()


def _number(value: float, digits: int = 0) -> str:
    return f"{value:,.{digits if value < 1_000 else 0}f}"


def _words(figure: Summary, digits: int | None = None) -> str:
    if digits is None:
        digits = 1 if figure.median < 100 else 0
    middle = _number(figure.median, digits)
    if figure.times == 1:
        return middle
    return f"{middle} ({_number(figure.low, digits)} to {_number(figure.high, digits)})"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are figures and stand to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def targets_table(lines: Iterable[Line]) -> str:
    """All lines, each with what it is held against."""
    headings = ("", "median (lowest to highest)", "yardstick", "its figure", "ratio", "target", "")
    return table(headings, (line.cells() for line in lines))


def facts_table(facts: Mapping[str, str]) -> str:
    """What was measured on, by heading."""
    return table(("", ""), facts.items())


def cpu_table(cpu_seconds: Mapping[str, Mapping[str, float]], peak_mb: Mapping[str, int], order: Sequence[str]) -> str:
    """CPU seconds by process and stage, and the peak of each process's memory."""
    stages = list(cpu_seconds)
    rows = [
        [name, *(f"{cpu_seconds[stage].get(name, 0):.1f}" for stage in stages), f"{peak_mb[name]:,} MB"]
        for name in order
        if peak_mb.get(name)
    ]
    total = ["together", *(f"{sum(cpu_seconds[stage].values()):.1f}" for stage in stages), ""]
    return table(["process", *stages, "peak memory"], [*rows, total])


def cores_table(cores: Mapping[str, float], elsewhere: float, peak_mb: Mapping[str, int], order: Sequence[str]) -> str:
    """Cores used by each process that used any, with the peak of its memory, and by what else the machine did."""
    rows = [[name, f"{cores[name]:.2f}", f"{peak_mb[name]:,} MB"] for name in order if cores.get(name, 0) >= 0.005]
    rows += [["together", f"{sum(cores.values()):.2f}", ""], ["all else on this machine", f"{elsewhere:.2f}", ""]]
    return table(["process", "cores", "peak memory"], rows)


def with_part(part: str, document: str) -> str:
    """``document`` with its long part in place of the one it has, if ``part`` is one; else with its main part."""
    main, heading, long = document.partition(LONG_HEADING)
    parts = (main, part) if part.startswith(LONG_HEADING) else (part, heading + long)
    return "\n\n".join(text.strip() for text in parts).strip() + "\n"
