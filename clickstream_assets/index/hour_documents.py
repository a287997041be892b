"""An hour's own document: its state in a word, what its checks say, what was counted in it.

The state, by the first that holds:

``held``
    a blocking check failed: documents stay as they are until it passes.
``open``
    the hour has not ended. It is behind by seconds nearly always, which tells nobody anything, so this comes before
    ``stale``.
``stale``
    the documents lag behind what was ingested, or still say that the hour is open.
``final``
    the documents are as what was ingested. A late event makes the hour stale again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

from clickstream_assets.books.hour_states import STEPS, HourState
from clickstream_assets.books.ledger_entries import HourCounts
from clickstream_assets.events.hours import has_ended, key_of_hour, rfc3339_of_hour
from clickstream_assets.index.documents import ensure_declared
from clickstream_assets.index.hour_fields import hours_template

Checked = Mapping[str, Mapping[str, str]]
"""By asset and check, what it last found: nothing, or what is wrong in words."""
_CONFLICT = 409
"""Written by somebody who has looked later."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is the same for all documents that are written at a time."""

    now_ms: int
    lag: int | None
    """Messages that are unread in Kafka; None if Kafka did not say."""
    watermark_ms: int | None
    contract_version: int
    run_id: str = ""
    """The run that has brought the hours up to date; empty where none has."""


@dataclass(frozen=True, slots=True)
class HourFigures:
    """What the books count in an hour."""

    counts: HourCounts
    bots: int | None
    """Of the events that are enriched, those of bots; None where some were enriched before these were counted."""
    refused_by_reason: Mapping[str, int] | None
    """None where they are too many to be counted now."""


def state_of(hour: int, state: HourState, now_ms: int) -> tuple[str, str]:
    """An hour's state, and in words why it is held or stale."""
    if state.holds:
        failed = ", ".join(f"{name}.{check}" for name, hold in state.holds.items() for check in hold.checks)
        return "held", f"documents stay as they are: {failed} failed"
    if not has_ended(hour, now_ms):
        return "open", ""
    if state.stale:
        lacking = [asset for asset in list(STEPS)[1:] if state.lacks(asset)]
        return "stale", f"documents lack what came last: {', '.join(lacking)} still to come"
    if state.closes:
        return "stale", "the hour has just ended: documents still say that it is open"
    return "final", ""


def told_of(hour: int, state: HourState, now_ms: int) -> str:
    """State and reason as they are remembered once they are in the document."""
    return ": ".join(filter(None, state_of(hour, state, now_ms)))


def hour_document(hour: int, state: HourState, figures: HourFigures, moment: Moment, of_day: Checked) -> dict[str, Any]:
    """What is said of an hour, and by the checks ``of_day``, its own; what is not known is left out."""
    name, reason = state_of(hour, state, moment.now_ms)
    counts = figures.counts
    document = {
        "hour": rfc3339_of_hour(hour),
        "state": name,
        "reason": reason or None,
        **_checks("", state.checked),
        **_checks("day_", of_day),
        "read": counts.kept + counts.duplicates + counts.dead_lettered,
        "kept": counts.kept,
        "duplicates": counts.duplicates,
        "refused": counts.dead_lettered,
        "refused_by_reason": figures.refused_by_reason,
        "late": counts.late,
        "bots": figures.bots,
        "clicks": state.clicks,
        # Behind its end an hour has clicks that its day has yet to count people of: no number rather than an old one.
        "unique_users": state.users if name == "open" or state.users_of == state.computed else None,
        "lag": moment.lag,
        "watermark": moment.watermark_ms,
        "written_at": moment.now_ms,
        "run_id": moment.run_id or state.told_by or None,
        "contract_version": moment.contract_version,
    }
    return {name: value for name, value in document.items() if value is not None}


def _checks(prefix: str, checked: Checked) -> dict[str, Any]:
    found = {f"{asset}.{check}": words for asset, checks in checked.items() for check, words in checks.items()}
    failed = [f"{check}: {words}" for check, words in sorted(found.items()) if words]
    return {
        f"{prefix}checks_passed": len(found) - len(failed),
        f"{prefix}checks_failed": len(failed),
        f"{prefix}failed_checks": failed,
    }


def ensure_hours_template(es: Elasticsearch, alias: str) -> None:
    """Put the index template if it is not there in this version; indices that are there get its fields."""
    ensure_declared(es, alias, hours_template(alias))


def write_hours(es: Elasticsearch, alias: str, documents: Mapping[int, dict[str, Any]], now_ms: int) -> None:
    """Write documents of hours, but for those that somebody who has looked later has written.

    Raises BulkIndexError for one that the mapping refuses.
    """
    ensure_hours_template(es, alias)
    bulk(es, _actions(alias, documents, now_ms), stats_only=True, ignore_status=_CONFLICT)


def _actions(alias: str, documents: Mapping[int, dict[str, Any]], now_ms: int) -> Iterable[dict[str, Any]]:
    for hour, document in documents.items():
        yield {
            "_index": f"{alias}-{rfc3339_of_hour(hour)[:4]}",
            "_id": key_of_hour(hour),
            "version": now_ms,
            "version_type": "external_gte",
            "_source": document,
        }
