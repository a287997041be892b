"""Median and spread of repeated measurements, and targets they are held against."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Timing:
    """So many events, rows or documents in so many seconds."""

    count: int
    seconds: float

    @property
    def rate(self) -> float:
        """Per second."""
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Summary:
    """Median, lowest and highest of ``times`` measurements."""

    median: float
    low: float
    high: float
    times: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Summary":
        """Of at least one value; raises ValueError without any."""
        found = sorted(values)
        if not found:
            raise ValueError("nothing was measured")
        return cls(median(found), found[0], found[-1], len(found))


def rates(timings: Iterable[Timing]) -> Summary:
    """Events a second."""
    return Summary.of(timing.rate for timing in timings)


def ratios(stage: Sequence[float], yardstick: Sequence[float]) -> Summary:
    """Each repetition's figure by that of its own yardstick: both were measured side by side, so drift cancels out."""
    return Summary.of(one / other for one, other in zip(stage, yardstick, strict=True))


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to reach."""

    value: float
    at_least: bool = True
    """Or below."""

    def is_met(self, figure: float) -> bool:
        """Whether a figure is as it is to be."""
        return figure >= self.value if self.at_least else figure < self.value
