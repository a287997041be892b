"""Where tables are printed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_ANY_WIDTH = 1 << 20


def console() -> "Console":
    """Standard output; lines are folded at a terminal's width, and nowhere else, for a program may read them."""
    from rich.console import Console

    made = Console(highlight=False)
    if not made.is_terminal:
        made.width = _ANY_WIDTH
    return made
