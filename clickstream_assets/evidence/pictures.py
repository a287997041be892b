"""Small charts as Markdown that Dagster's UI shows in place: an SVG inside a data URI.

The UI shows Markdown of fewer than 1,000 characters in place and folds longer ones behind a link; each picture stays
below that, whatever it is given. Dark on a ground of its own, it reads the same in the light and the dark theme. Bars
begin at zero.
"""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from clickstream_assets.events.shown_text import printable

LONGEST = 999
"""Characters of Markdown that the UI still shows in place."""
_BAR = "#2563c9"  # 5.6 : 1 against white
_SAFE = " !$'()*+,-./:;=?@_~"
"""Not the ampersand: Markdown reads entities in an address, and would undo what keeps texts from being elements."""
_LINE = 17
_CHARACTER = 6.6
_BAR_WIDTH = 160


def bars(title: str, amounts: Sequence[tuple[str, int]], total: int) -> str:
    """Horizontal bars, one for each name and its amount, in the order given, with its share of ``total``.

    What ``amounts`` lack of ``total``, and the last of them where there is no room for all, is one bar named `other`.
    """
    for shown in range(len(amounts), -1, -1):
        rows = list(amounts[:shown])
        other = total - sum(amount for _, amount in rows)
        if other:
            rows.append(("other", other))
        picture = _bars(title, rows, total)
        if len(picture) <= LONGEST:
            return picture
    raise ValueError(f"no room for a picture under a title of {len(title)} characters")


def _bars(title: str, rows: Sequence[tuple[str, int]], total: int) -> str:
    labels = [f"{printable(name)} {amount:,} ({_share(amount, total)})" for name, amount in rows]
    left = int(max(map(len, labels), default=0) * _CHARACTER) + 14
    most = max((amount for _, amount in rows), default=0) or 1
    marks = "".join(
        f"M{left} {_LINE * at + 25}h{_length(amount, most, _BAR_WIDTH)}v12H{left}z"
        for at, (_, amount) in enumerate(rows)
    )
    texts = "".join(f"<text x='6' y='{_LINE * at + 35}'>{escape(label)}</text>" for at, label in enumerate(labels))
    width = max(left + _BAR_WIDTH, int(len(title) * _CHARACTER)) + 12
    return _markdown(title, width, _LINE * len(rows) + 30, marks, texts)


def by_hour(title: str, amounts: Sequence[int], first: str, last: str) -> str:
    """Upright bars, one for each hour, as in ``amounts``; ``first`` and ``last`` name the hours at both ends.

    Raises ValueError where so many do not fit: 24 do.
    """
    most = max(amounts, default=0)
    height, step, left = 60, 12, int(len(f"{most:,}") * _CHARACTER) + 12
    ground = 24 + height
    marks = f"M{left} {ground}" + "".join(
        f"v-{_length(amount, most or 1, height)}h9V{ground}m3 0" for amount in amounts
    )
    right = left + step * len(amounts)
    frame = f"<path d='M{left} 24V{ground}H{right}' fill='none' stroke='#555'/>"
    texts = (
        f"<text x='6' y='30'>{most:,}</text><text x='6' y='{ground}'>0</text>"
        f"<text x='{left}' y='{ground + 15}'>{escape(first)}</text>"
        f"<text x='{right}' y='{ground + 15}' text-anchor='end'>{escape(last)}</text>"
    )
    picture = _markdown(title, max(right, int(len(title) * _CHARACTER)) + 12, ground + 22, marks, frame + texts)
    if len(picture) > LONGEST:
        raise ValueError(f"{len(amounts)} hours are too many for one picture")
    return picture


def shorten(text: str, longest: int = 80) -> str:
    """``text``, or as much of it as makes ``longest`` characters with the ellipsis behind it."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _length(amount: int, most: int, longest: int) -> int:
    """Pixels of a bar: whole ones, and at least one where there is anything to show."""
    return max(round(amount / most * longest), 1) if amount else 0


def _share(amount: int, total: int) -> str:
    percent = 100 * amount / total if total else 0
    return f"{percent:.0f} %" if percent >= 1 or not amount else "< 1 %"


def _markdown(title: str, width: int, height: int, marks: str, rest: str) -> str:
    svg = (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        "font-family='sans-serif' font-size='12' style='background:#fff'>"
        f"<text x='6' y='15' font-weight='bold'>{escape(title)}</text><path d='{marks}' fill='{_BAR}'/>{rest}</svg>"
    )
    # In angle brackets a link may hold spaces and quotes as they are: a quarter shorter than Base64.
    return f"![{_plain(title)}](<data:image/svg+xml,{quote(svg, safe=_SAFE)}>)"


def _plain(title: str) -> str:
    """A title's words: nothing is left of what Markdown reads, nor of an address that it makes a link of."""
    return "".join(character for character in title if character.isalnum() or character in " ,:-")
