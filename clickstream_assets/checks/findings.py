"""What a check finds in an hour, and the shares that several checks judge by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in one hour: whether it holds, what was compared in words, and the figures."""

    passed: bool
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)


Findings = Mapping[int, Finding]
"""By hour, in hours since the epoch."""
_LEAST = 20


def share(part: int, whole: int, most: float, predicate: str) -> Finding:
    """Whether ``part`` is no more than the share ``most`` of ``whole``; quiet below :data:`_LEAST` of them."""
    ratio = part / whole if whole else 0.0
    words = f"{part} of {whole} {predicate} ({ratio:.1%}, warns above {most:.0%}"
    words += f", not below {_LEAST})" if whole < _LEAST else ")"
    return Finding(whole < _LEAST or ratio <= most, words, {f"share that {predicate}": ratio})


def both(first: Finding, second: Finding) -> Finding:
    figures = dict(first.figures) | dict(second.figures)
    return Finding(first.passed and second.passed, f"{first.words}; {second.words}", figures)


_T = TypeVar("_T")


def each(by_hour: Mapping[int, _T], judge: Callable[[_T], Finding]) -> Findings:
    return {hour: judge(counted) for hour, counted in by_hour.items()}
