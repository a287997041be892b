"""Answers that are remembered, within bounds."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

_Text = TypeVar("_Text", str, bytes | None)
_T = TypeVar("_T")
_ANSWERS = 1 << 16


def remembering(look_up: Callable[[_Text], _T], longest: int) -> Callable[[_Text], _T]:
    """``look_up``, asked once for each distinct text of up to a ``longest`` length, and each time for a longer one.

    The memory of it is bounded by that: long texts are rare, and hardly ever the same.
    """
    remembered = lru_cache(_ANSWERS)(look_up)

    def answer(text: _Text) -> _T:
        return remembered(text) if text is None or len(text) <= longest else look_up(text)

    return answer
