"""Whether stores are fit, asked by runs and by the sensor before they write: once a process, or once a minute."""

from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import dagster as dg

if TYPE_CHECKING:
    from clickstream_assets.books.misfits import Misfit

_GOOD_FOR_SECONDS = 60
_fit_until: dict[str, float] = {}
_told: set[str] = set()


class StoresUnfit(dg.Failure):
    """What is wrong with stores that are there already, where, and what to do: a sentence each."""


class Store(Protocol):
    """A resource that can say what is odd about what it leads to."""

    def misfits(self) -> "Sequence[Misfit] | None":
        """What there is; None if it did not answer, which the step that needs it will tell."""


def is_good(name: str) -> bool:
    """Whether something was good within the last minute, as :func:`now_good` was told."""
    return monotonic() < _fit_until.get(name, 0)


def now_good(name: str) -> None:
    """Remember for a minute that something is good."""
    _fit_until[name] = monotonic() + _GOOD_FOR_SECONDS


def require_fit(*stores: Store) -> None:
    """Raise :class:`StoresUnfit` if any of the stores cannot be worked with; log what is merely odd, once a process.

    Stores that were fit are not asked again for a minute, which is longer than most runs take.
    """
    wrong = []
    for store in stores:
        if is_good(name := repr(store)):
            continue
        misfits = store.misfits()
        if misfits is None:
            continue
        for misfit in misfits:
            if not misfit.stops and misfit.words not in _told:
                _told.add(misfit.words)
                dg.get_dagster_logger().warning(misfit.words)
        stopping = [misfit.words for misfit in misfits if misfit.stops]
        if not stopping:
            now_good(name)
        wrong += stopping
    if wrong:
        raise StoresUnfit(" ".join(wrong), allow_retries=False)
