"""How tables and stored text are printed."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clickstream_assets.events.shown_text import printable

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


def table_of(rows: Sequence[Mapping[str, Any]], shown: "Callable[[str, Any], str | Text]") -> "Table":
    """A table without lines, a column for each name in the first of ``rows``; figures stand to the right.

    ``shown`` makes a cell of a name and a value.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        has_figures = any(type(row[name]) in {int, float} for row in rows)
        table.add_column(spaced(name), justify="right" if has_figures else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row.keys(), row.values()))
    return table


def figure(name: str, value: object) -> "str | Text":
    """A figure in groups of three digits; anything else as it is."""
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else as_is(value)


def spaced(name: str) -> str:
    return name.replace("_", " ").replace(".", " ")


def as_is(value: object) -> "Text":
    """A stored value for a table, which would take brackets in it for markup."""
    from rich.text import Text

    return Text("" if value is None else printable(str(value)))
