"""How a metrics document came to be: its events, the time spent event by event, and what the stores say.

The result is an :class:`Explanation` of plain values. The rows of the hour are scanned twice: first for the document's
users, then for what these users did. So memory holds the events of one document's users, however large the hour is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from elasticsearch import Elasticsearch

from clickstream_assets.books.books import Books
from clickstream_assets.books.hour_states import STEPS
from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.events.url_limits import ALL_URLS, NO_LIMITS, OTHER, CountedUrls, UrlLimits
from clickstream_assets.evidence.page_events import (
    SOURCES,
    FirstLook,
    Subject,
    Values,
    View,
    counted_urls,
    events_of,
    views,
)
from clickstream_assets.evidence.recomputation import (
    FIELDS,
    add_up,
    compare,
    compare_sketches,
    documents_of,
    enrichment_of,
    misplaced,
    ranges_of,
    recomputed,
    runs_of,
    stored_metrics,
    written,
)


@dataclass(slots=True)
class Explanation:
    """All that is known of a document. Times are RFC 3339, in UTC; None stands for what does not exist."""

    hour: str
    url: str
    country: str
    document_id: str
    verdict: str = ""
    same: bool = False
    """Whether document, metrics row, recomputation and listed events agree, or none of them exists."""
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each field by :data:`SOURCES`, and whether these are the same."""
    remarks: list[str] = field(default_factory=list)
    """What differs, why there is no document, how the hour is, and what to do."""
    events: list[View] = field(default_factory=list)
    events_not_shown: int = 0
    ranges: list[dict[str, Any]] = field(default_factory=list)
    """Of ledger entries the offsets ``first`` (included) to ``end`` (not), how many messages of these were ``read`` by
    which run, and how many ``events`` are the document's."""
    ranges_not_shown: int = 0
    events_in_no_range: int = 0
    """The document's events that no ledger entry accounts for."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """Dagster runs, what each ``did`` for the document, and what only Dagster remembers: status, start, why it ran."""
    enrichment: list[dict[str, Any]] = field(default_factory=list)
    """By GeoIP build and user-agent rules, how many of the events they enriched."""
    document: dict[str, Any] | None = None
    metrics_row: dict[str, Any] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    """The hour's state; with ``refused``, its dead letters (of any url, for theirs is not known), and ``moved``:
    whether the hour was touched in the meantime."""
    failed_checks: Sequence[object] | None = None
    """Checks whose last evaluation of the hour failed; None where Dagster was not asked."""

    def shorten(self, limit: int) -> None:
        """Keep the first ``limit`` events and ranges and count the others; 0 keeps all."""
        if limit:
            self.events_not_shown, self.ranges_not_shown = len(self.events[limit:]), len(self.ranges[limit:])
            self.events, self.ranges = self.events[:limit], self.ranges[:limit]


def judge(
    explained: Explanation,
    misplacements: Iterable[str],
    first_look: FirstLook,
    first_hour: int,
    counted: CountedUrls = ALL_URLS,
) -> None:
    """Set ``same``, the verdict and the remarks of an explanation. ``first_hour`` is that of the first partition."""
    differences = [f"differs: {words}" for words in misplacements]
    for name, values in explained.values.items():
        if not values["same"]:
            shown = [
                f"{source.replace('_', ' ')} {'none' if values[source] is None else values[source]}"
                for source in SOURCES
            ]
            differences.append(f"differs: {name}: {', '.join(shown if name in FIELDS else shown[:-1])}")
    explained.same = not differences
    if differences:
        explained.verdict = "Not the same everywhere."
    elif explained.document:
        explained.verdict = "The same everywhere: computed from HBase now, the document comes out as it is."
    else:
        explained.verdict = "There is no document, and none comes out of HBase's rows now."
    reasons = (
        *_about_other_urls(explained, counted),
        *_why_no_document(explained, first_look, others=counted.name_of(explained.url) != explained.url),
        *_about_the_hour(explained, first_hour),
    )
    explained.remarks = [*differences, *reasons, *_what_to_do(explained)]


def _about_other_urls(explained: Explanation, counted: CountedUrls) -> Iterator[str]:
    """What ``(other)`` is here, or why a url counts as that."""
    if explained.url == OTHER:
        yield (
            f"{OTHER} is all urls that do not count by name: those of hosts that CLICKSTREAM_COUNTED_HOSTS does not "
            "name, and those beyond CLICKSTREAM_MAX_URLS_PER_HOUR, which have fewer clicks in the hour."
        )
        clicks = Counter(view.url for view in explained.events if view.counts)
        if clicks:
            most = ", ".join(f"{url} ({count:,})" for url, count in clicks.most_common(10))
            yield f"In this hour and country they are {len(clicks):,} urls; with most clicks: {most}."
    elif counted.name_of(explained.url) == OTHER:
        is_of_host = counted.limits.takes_host_of(explained.url)
        why = "CLICKSTREAM_MAX_URLS_PER_HOUR others have more clicks" if is_of_host else "of its host"
        yield f"This url does not count by name ({why}): its clicks, if there are any, are under {OTHER}."


def _why_no_document(explained: Explanation, first_look: FirstLook, *, others: bool) -> Iterator[str]:
    """``others``: whether the url counts as another."""
    if any(view.counts for view in explained.events):
        if not explained.document:
            yield "There is no document, though there are events that count."
        return
    yield "No click counts for this hour, url and country, so there should be no document."
    left_out = Counter(view.left_out for view in explained.events)
    if by_country := first_look.clicks_by_country:
        countries = ", ".join(f"{country} ({clicks:,})" for country, clicks in by_country.most_common(20))
        yield f"In this hour the url has clicks from: {countries}."
    if bots := left_out["bot"]:
        yield f"Events of it by bots, which are left out: {bots:,}."
    if signs := left_out["no_click"]:
        yield f"Events of it that are signs of life, no clicks: {signs:,}."
    if waiting := first_look.not_enriched:
        yield f"Rows of the url that enriched_clicks has not come to, so that their country is not known: {waiting:,}."
    if not (by_country or explained.events or waiting or others):
        yield "No event of this url is stored in this hour."


def _about_the_hour(explained: Explanation, first_hour: int) -> Iterator[str]:
    hour, state = explained.hour, explained.state
    if hour_of_key(hour) < first_hour:
        yield f"{hour} lies before the first partition, {key_of_hour(first_hour)}: its events are refused."
    elif not state["touched"]:
        yield f"{hour} was never touched: no event of it has been stored."
        if state["refused"]:
            yield f"Messages recorded in it that were refused (see the dead letters): {state['refused']:,}."
        yield "`clickstream doctor` says how many messages wait to be read."
    elif state["stale"]:
        behind = ", ".join(asset for asset, mark in STEPS.items() if state[mark] != state["touched"])
        yield f"{hour} is stale: touched {state['touched']} times, indexed up to touch {state['indexed']}."
        yield f"Not yet up to date: {behind}."
    for asset, hold in state["holds"].items():
        failed = f"{hour} is held back by checks of {asset} that failed ({', '.join(hold['checks'])})"
        yield f"{failed}: what comes after {asset} keeps what it had until they pass."


def _what_to_do(explained: Explanation) -> Iterator[str]:
    hour, state, unbooked = explained.hour, explained.state, explained.events_in_no_range
    if unbooked:
        yield f"Events that lie in no range of the ledger (see `books_balance` of {hour}): {unbooked:,}."
    if state["moved"]:
        yield "Events arrived while this was looked at: run it again before you trust a difference."
    elif not explained.same and not state["stale"] and not state["holds"]:
        row_is_right = all(values["metrics_row"] == values["recomputed"] for values in explained.values.values())
        first = "es_index" if row_is_right else "url_country_metrics"
        yield f"To put there what HBase's rows give now, materialize {first} and what follows for {hour}."


def explain(
    target: Subject, first_hour: int, *, books: Books, es: Elasticsearch, alias: str, limits: UrlLimits = NO_LIMITS
) -> Explanation:
    """Explain a document from all stores but Dagster's.

    The hour's state is read first and once more at the end, to see whether the hour was touched in between.
    """
    state = books.hours.read([target.hour])[target.hour]
    target = replace(target, counted=counted_urls(books, target.hour, limits))
    hits, row = documents_of(es, alias, target), stored_metrics(books, target)
    hit = next((hit for hit in hits if hit["_id"] == target.document_id), None)
    document: Values | None = hit["_source"] if hit else None
    first_look, events = events_of(books, target)
    listed, now = views(events, target), recomputed(events, target)
    sketches = compare_sketches(document, row, now)
    parts = books.ledger.parts([target.hour])[target.hour]
    ranges, events_in_no_range = ranges_of(books.ledger, parts, [view.kafka for view in listed])
    refused = sum(part.counts.dead_lettered for part in parts)
    moved = books.hours.read([target.hour])[target.hour] != state
    explained = Explanation(
        *(key_of_hour(target.hour), target.url, target.country, target.document_id),
        values=compare(document, row, now, add_up(listed)) | {"users_sketch": sketches},
        events=listed,
        ranges=ranges,
        events_in_no_range=events_in_no_range,
        runs=runs_of(ranges, row, document),
        enrichment=enrichment_of(listed),
        document=written(hit["_source"], index=hit["_index"], id=hit["_id"]) if hit else None,
        metrics_row=written(row) if row else None,
        state={**asdict(state), "stale": state.stale, "refused": refused, "moved": moved},
    )
    judge(explained, misplaced(hits, target), first_look, first_hour, target.counted)
    return explained
