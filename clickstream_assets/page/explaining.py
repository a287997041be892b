"""The explanation of a document for a page: what ``clickstream explain`` knows, with nothing that tells a person."""

from threading import BoundedSemaphore

from elasticsearch import Elasticsearch

from clickstream_assets.books.books import Books, TableNames
from clickstream_assets.books.table_schemas import TABLES
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.evidence.explanation import Explanation, explain
from clickstream_assets.evidence.page_events import Subject
from clickstream_assets.page.view import Page
from clickstream_assets.settings import Settings
from clickstream_assets.stores.hbase.client import HBaseClient
from clickstream_assets.stores.reachability import require_listener

MOST_EVENTS = 100
"""Shown of a document; the command has no such bound."""
ENDS = {
    "next_click": "the next click",
    "left": "leaving the page",
    "sign_of_life": "the last sign of life",
    "own_measurement": "measured by the browser",
    "own_measurement_capped": "measured by the browser, cut at 30 min",
    "unknown": "not known",
}
LEFT_OUT = {"bot": "a bot, not counted", "not_enriched": "not looked at yet", "no_click": "no click, not counted"}


_PATIENCE_SECONDS = 5
_AT_A_TIME = BoundedSemaphore(2)
"""Each explanation scans all clicks of an hour."""


class NotExplained(Exception):
    """Why there is no explanation; in a sentence."""


def explained(es: Elasticsearch, configured: Settings, page: Page) -> Explanation:
    """The explanation of a url and a country in an hour. Raises :class:`NotExplained`, and what the clients raise."""
    if not _AT_A_TIME.acquire(blocking=False):
        raise NotExplained("Others are having numbers explained just now: try again in some seconds.")
    try:
        return _explained(es, configured, page)
    finally:
        _AT_A_TIME.release()


def _explained(es: Elasticsearch, configured: Settings, page: Page) -> Explanation:
    address = (configured.hbase_host, configured.hbase_port)
    try:
        require_listener([address])
    except ConnectionError:
        raise NotExplained(
            "The store of the single clicks (HBase) does not answer, so its events cannot be shown. "
            "The numbers themselves do not need it."
        ) from None
    with HBaseClient(*address, timeout_ms=30_000, patience_seconds=_PATIENCE_SECONDS) as hbase:
        if {configured.table(table.name) for table in TABLES} - hbase.tables():
            raise NotExplained("The store of the single clicks (HBase) holds none of them yet.")
        found = explain(
            Subject(page.hour, page.choice.url, page.choice.country),
            configured.first_hour_ms // HOUR_MS,
            books=Books(hbase, TableNames.of(configured.name_prefix)),
            es=es,
            alias=configured.alias,
            limits=configured.url_limits,
        )
    found.shorten(MOST_EVENTS)
    return found


def people(found: Explanation) -> dict[str, int]:
    """A number for each user key, in the order of their clicks: they are to be told apart, not to be known."""
    keys = dict.fromkeys(event.user_key for event in found.events)
    return {key: number for number, key in enumerate(keys, start=1)}


def short(run_id: str) -> str:
    """The beginning of a run's id, by which Dagster's pages call it too."""
    return run_id[:8]
