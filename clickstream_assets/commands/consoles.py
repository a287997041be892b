"""How tables and stored text are printed."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_ANY_WIDTH = 1 << 20


def console() -> "Console":
    """Standard output; lines are folded at a terminal's width, and nowhere else, for a program may read them."""
    from rich.console import Console

    output = Console(highlight=False)
    if not output.is_terminal:
        output.width = _ANY_WIDTH
    return output


def plain_table(columns: Iterable[str], right: Collection[str] = ()) -> "Table":
    """An empty table without lines; the columns named by ``right`` are aligned there."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def printable(text: str) -> str:
    """Stored text with what a terminal would obey escaped: a producer may have sent anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def as_is(value: object) -> "Text":
    """A stored value for a table, which would take brackets in it for markup."""
    from rich.text import Text

    return Text("" if value is None else printable(str(value)))
