"""``python -m clickstream_assets_tests.browser.pictures``: the README's pictures of a demo: Dagster's and ours."""

import argparse
import tempfile
import time
from pathlib import Path

from clickstream_assets_tests.browser import chromium
from clickstream_assets_tests.browser.dagster_pages import LINEAGE_HEIGHT, LINEAGE_WIDTH, DagsterPages, until
from clickstream_assets_tests.browser.demo import Demo

FOLDER = Path(__file__).parents[2] / "docs" / "images"
WIDTH, HEIGHT, SCALE = 1360, 640, 1.5
MOST_BYTES = 200_000
_PAGE_HEIGHT = 900
_ASSET, _CHECK = "es_index", "documents_match"
_A_RUN_SECONDS = 120
"""Time for a moment in which no run is at the open hour, and everything has passed."""


def take(url: str, page_url: str, folder: Path) -> list[Path]:
    """Take every picture of the webserver at ``url``, while it says that all is well, and of the analysts' page.

    Raises AssertionError with what a page says instead, or where a picture is too large for a README.
    """
    names = ("lineage", "partitions", "checks", "page")
    lineage, partitions, checks, analysts = pictures = [folder / f"{name}.png" for name in names]
    with chromium.page(LINEAGE_WIDTH, LINEAGE_HEIGHT) as page:
        pages = DagsterPages(page, url)
        until(pages.lineage, lambda nodes: all(node.all_passed for node in nodes.values()), _A_RUN_SECONDS)
        pages.picture_of_lineage(str(lineage))
    with chromium.page(WIDTH, HEIGHT, SCALE) as page:
        pages = DagsterPages(page, url)
        until(lambda: pages.partitions(_ASSET), lambda n: not (n["Missing"] or n["Materializing"]), _A_RUN_SECONDS)
        pages.picture(str(partitions))
        until(lambda: pages.checks(_ASSET, _CHECK), lambda s: {*s.values()} == {"Succeeded"}, _A_RUN_SECONDS)
        pages.picture(str(checks))
    with chromium.page(WIDTH, _PAGE_HEIGHT) as page:
        page.goto(page_url)
        page.screenshot(path=str(analysts))
    for picture in pictures:
        size = picture.stat().st_size
        assert size < MOST_BYTES, f"{picture} has {size:,} bytes: a README's picture has less than {MOST_BYTES:,}"
    return pictures


def main() -> None:
    """Start a demo, let it run, take the pictures, end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="minutes of demo before the pictures (default: 5)")
    minutes = parser.parse_args().minutes
    chromium.find()
    with tempfile.TemporaryDirectory() as home, Demo(Path(home)) as demo:
        print(f"The demo is up on {demo.url}; pictures in {minutes:g} minutes.", flush=True)
        time.sleep(minutes * 60)
        for picture in take(demo.url, demo.page_url, FOLDER):
            print(picture)


if __name__ == "__main__":
    main()
