"""What Dagster's pages say, read as text: addresses, what to wait for, and where the words stand.

The one place that knows the webserver's pages (1.13). Class names there end in a hash of the build, so they are found
by their beginning. Pages that show a state are loaded anew for every reading.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from playwright.sync_api import FloatRect, Locator, Page, expect

LINEAGE_WIDTH, LINEAGE_HEIGHT = 2600, 900
"""Wide enough for the graph to be drawn with its rows: below six tenths of their size, assets are names alone."""

_NODE = "[class*=AssetNode_assetNodeContainer]"
_CHECK = "[class*=AssetChecks_checkRow]"
_TITLE = "span[class*=Typography_size16]"
_PARTITION = "[class*=AssetEventList_assetListRow]"
_STATE = re.compile("^(Passed|Failed|Running|Skipped|Execution failed|Not evaluated|No execution attempted)$")
_LOAD_MS = 60_000
_MARGIN = 16

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Node:
    """What the lineage graph says of an asset."""

    passed: int
    """Checks that it counts as passed."""
    checks: int
    filled: int | None
    """Per cent of the partitions, rounded down; None for an asset without partitions."""
    words: str
    """All of it."""

    @property
    def all_passed(self) -> bool:
        """Whether it says *n / n Passed*."""
        return 0 < self.passed == self.checks

    @classmethod
    def read(cls, words: str) -> "Node | None":
        """From the words of its box; None as long as they are incomplete."""
        counted = re.search(r"(\d+) / (\d+) Passed", words)
        filled = re.search(r"(\d+)% filled", words)
        if not counted:
            return None
        return cls(int(counted[1]), int(counted[2]), int(filled[1]) if filled else None, words)


def until(look: Callable[[], Seen], holds: Callable[[Seen], bool], seconds: float) -> Seen:
    """What ``look`` gives once that holds: Dagster counts neither an hour nor a check while a run is at it.

    Raises AssertionError with what it gave last after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not holds(seen := look()):
        assert time.monotonic() < deadline, f"after {seconds} s it still says {seen}"
        time.sleep(1)
    return seen


class DagsterPages:
    """The pages of a webserver, in one browser page."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url
        page.set_default_timeout(_LOAD_MS)

    def lineage(self) -> dict[str, Node]:
        """Each asset of the lineage graph, by name."""
        self._open("/asset-groups")
        nodes = self.page.locator(_NODE)
        nodes.first.wait_for()
        self.page.wait_for_function(
            "css => [...document.querySelectorAll(css)].every(node => /\\d+ \\/ \\d+ Passed/.test(node.innerText))",
            arg=_NODE,
        )
        texts = [text.strip() for text in nodes.all_inner_texts()]
        return {text.split("\n")[0]: node for text in texts if (node := Node.read(text))}

    def partitions(self, asset: str) -> dict[str, int]:
        """How many partitions of an asset are in each state: ``{"Materialized": 24, "Missing": 0, …}``."""
        self._open(f"/assets/{asset}?view=partitions")
        self.page.get_by_text("Partitions Selected").wait_for()
        labels = self.page.locator("label[class*=Checkbox]").filter(has_text=re.compile(r"\(\d+\)"))
        counts = (re.fullmatch(r"(.+) \(([\d,]+)\)", text.strip()) for text in labels.all_inner_texts())
        return {count[1]: int(count[2].replace(",", "")) for count in counts if count}

    def latest(self, asset: str) -> str:
        """The partition that *Latest* chooses where an asset is materialized by hand (one that is written alone)."""
        self._open(f"/assets/{asset}?view=partitions")
        self.page.get_by_role("button", name=re.compile("Materialize")).first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Latest", exact=True).click()
        chosen = dialog.locator("input[type=text]").first
        key = re.compile(r"^\d{4}-\d\d-\d\d-\d\d:\d\d$")  # what was chosen before is a range, or nothing
        expect(chosen).to_have_value(key, timeout=_LOAD_MS)
        return chosen.input_value()

    def checks(self, asset: str, shown: str = "") -> dict[str, str]:
        """What the list of an asset's checks says of each: *Succeeded*, *In progress*, *Skipped* …

        Beside the list the page shows the check named by ``shown``, else the first.
        """
        self._open(f"/assets/{asset}?view=checks&checkDetail={shown}")
        self.page.locator(_CHECK).first.wait_for()
        rows = self.page.locator(_CHECK).all()
        return {self._name(row): row.locator("span[class*=size12]").last.text_content() or "" for row in rows}

    def checks_in(self, asset: str, hour: str) -> dict[str, str]:
        """What each check of an asset says of one hour: *Passed*, *Failed*, *Running*, *Skipped* …"""
        names = self.checks(asset)
        return {name: self._check_in(name, hour) for name in names}

    def _check_in(self, check: str, hour: str) -> str:
        self.page.locator(_CHECK).filter(has_text=check).first.click()
        self.page.locator(_TITLE).filter(has_text=re.compile(f"^{check}$")).wait_for()
        self.page.get_by_role("tab", name="Partitions").last.click()
        self.page.locator(_PARTITION).filter(has_text=hour).click()
        state = self.page.get_by_text(_STATE).last
        state.wait_for()
        return state.inner_text()

    def picture_of_lineage(self, path: str) -> None:
        """The graph as :meth:`lineage` left it."""
        self.page.screenshot(path=path, clip=_around(self.page.locator(_NODE).all()))

    def picture(self, path: str) -> None:
        """The page as it is, without the navigation at its side."""
        tabs = self.page.get_by_role("tab").first.bounding_box()
        size = self.page.viewport_size
        assert tabs and size
        left = tabs["x"] - 24
        self.page.screenshot(
            path=path, clip={"x": left, "y": 0, "width": size["width"] - left, "height": size["height"]}
        )

    def _open(self, path: str) -> None:
        self.page.goto(self._url + path, wait_until="domcontentloaded")

    @staticmethod
    def _name(row: Locator) -> str:
        return row.locator("[title]:not([role=progressbar])").first.get_attribute("title") or ""


def _around(parts: list[Locator]) -> FloatRect:
    boxes = [box for part in parts if (box := part.bounding_box())]
    left, top = min(box["x"] for box in boxes) - _MARGIN, min(box["y"] for box in boxes) - _MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + _MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + _MARGIN
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}
