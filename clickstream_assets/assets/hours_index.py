"""What is told of hours in the index behind ``clickstream-hours``, by runs and by the sensor."""

from collections.abc import Iterable, Mapping
from time import time
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.common import CODE_VERSION
from clickstream_assets.events.days import day_of_hour
from clickstream_assets.events.hours import HOUR_MS
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource
from clickstream_assets.stores.hbase.resource import HBaseResource
from clickstream_assets.stores.kafka.resource import KafkaResource

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.index.hour_documents import Moment


def moment(books: "Books", topic_id: str, lag: int | None, run_id: str = "") -> "Moment":
    """Now: how far ingestion is."""
    from clickstream_assets.index.hour_documents import Moment

    watermarks = books.watermarks.read(topic_id).values()
    return Moment(int(time() * 1000), lag, min(watermarks, default=None), int(CODE_VERSION), run_id)


def to_tell(states: "Mapping[int, HourState]", now_ms: int) -> list[int]:
    """Hours whose documents do not say what holds now, the latest first. One that nothing is known of has none."""
    from clickstream_assets.index.hour_documents import told_of

    known = {hour: state for hour, state in states.items() if state.touched or state.holds}
    return sorted((hour for hour, state in known.items() if state.told != told_of(hour, state, now_ms)), reverse=True)


def tell(books: "Books", es: "Elasticsearch", configured: Settings, hours: Iterable[int], now: "Moment") -> None:
    """Write the documents of hours."""
    from clickstream_assets.evidence.hour_figures import hour_figures
    from clickstream_assets.index.hour_documents import hour_document, told_of, write_hours

    states = books.hours.read(hours)
    figures = hour_figures(books, states, configured.first_hour_ms // HOUR_MS)
    days = books.days.read({day_of_hour(hour) for hour in states})
    documents = {
        hour: hour_document(hour, state, figures[hour], now, days[day_of_hour(hour)].checked)
        for hour, state in states.items()
    }
    write_hours(es, configured.hours_alias, documents, now.now_ms)
    books.hours.tell({hour: told_of(hour, state, now.now_ms) for hour, state in states.items()}, now.run_id)


def tell_behind(
    context: dg.AssetExecutionContext,
    done: Iterable[int],
    of_run: Iterable[int],
    kafka: KafkaResource,
    hbase: HBaseResource,
    elasticsearch: ElasticsearchResource,
    configured: Settings,
) -> None:
    """At the end of a run, tell of the hours that were done or held, and of others in which something changed.

    Fails nothing: what could not be told now, the sensor tells.
    """
    try:
        with hbase.books() as books, elasticsearch.client() as es, kafka.client() as topic:
            now = moment(books, topic.topic_id(), topic.lag(topic.ends(topic.partitions())), context.run_id)
            hours = {*done, *to_tell(books.hours.read(of_run), now.now_ms)}
            tell(books, es, configured, sorted(hours), now)
    except Exception as error:  # noqa: BLE001 - the hours are done, whatever keeps them from being told of
        context.log.warning(f"not told of in {configured.hours_alias}: {type(error).__name__}: {error}")
