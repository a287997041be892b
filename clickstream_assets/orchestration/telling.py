"""What the sensor tells of hours whose state changes without a run: behind ``clickstream-hours``.

So it does for hours that end, that become stale while no run comes, that are held, or whose checks or ledger say
something new. It compares what was told with what each state says now, and asks Elasticsearch nothing.
"""

from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING

import dagster as dg

from clickstream_assets.assets.hours_index import moment, tell, to_tell, why_not_told
from clickstream_assets.orchestration.planning import Look
from clickstream_assets.stores.elasticsearch.resource import ElasticsearchResource

if TYPE_CHECKING:
    from clickstream_assets.books.books import Books
    from clickstream_assets.books.hour_states import HourState

_SECONDS = 1.0
"""So long a tick goes on telling: of most hours once, when it first comes over years of them."""
_HOURS_AT_A_TIME = 10
"""A large hour's parts in the ledger are thousands."""


def tell_changed(
    look: Look,
    books: "Books",
    states: "Mapping[int, HourState]",
    topic_id: str,
    lag: int,
    elasticsearch: ElasticsearchResource,
) -> None:
    """Write documents of hours that say what does not hold any more, the latest first; the next tick goes on.

    Hours that a run is at are left to it. Fails no tick: what Elasticsearch does not take is written later.
    """
    now_ms = int(look.now * 1000)
    busy = look.may.busy
    due = [hour for hour in to_tell(states, now_ms) if hour >= look.first_hour and hour not in busy]
    if not due:
        return
    end = monotonic() + _SECONDS
    try:
        with elasticsearch.quick_client() as es:
            for at in range(0, len(due), _HOURS_AT_A_TIME):
                now = moment(books, topic_id, lag)
                tell(books, es, look.limits, due[at : at + _HOURS_AT_A_TIME], now)
                if monotonic() > end:
                    return
    except Exception as error:  # noqa: BLE001 - a dashboard that lags behind keeps nothing else from going on
        words = why_not_told(error, elasticsearch, look.limits)
        dg.get_dagster_logger().warning(f"{len(due)} hours not told of in {look.limits.hours_alias}: {words[:500]}")
