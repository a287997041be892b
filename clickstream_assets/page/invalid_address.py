"""What is said of an address that has nothing to show."""

MOST_CHARACTERS = 8_192
"""Of a url or a value in an address."""
_SHOWN_CHARACTERS = 60


class InvalidAddress(ValueError):
    """An address that says nothing to show; in a sentence, with what to write instead."""


def cut(text: str) -> str:
    """The beginning of what an address says, to stand in such a sentence."""
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
