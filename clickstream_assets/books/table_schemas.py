"""The one source of every field: HBase cells, Spark types, Elasticsearch's mapping, columns and lineage in the UI."""

from typing import Any

from clickstream_assets.books.column_types import Table, column, of_family, text, time_column
from clickstream_assets.books.row_keys import SALT_BOUNDS
from clickstream_assets.events.fields import Field


def key_field(text: str, *upstream: str) -> Field:
    return Field(name="row_key", type="binary", description=text, upstream=upstream, unique=True)


_FAMILY: dict[str, Any] = {"max_versions": 1, "bloom_filter_type": "ROW", "block_cache_enabled": True}
REQUEST_DATA, TODO = "request_data", "todo"
"""The families with a TTL of their own: personal data that enrichment needs."""
_PERSONAL: dict[str, Any] = {"nullable": True, "personal": True}
_EVENT_TIME = ("timestamp", "sent_at", "received_at", "record_time")
_RECORD = ("record_partition", "record_offset")
CLICKS_KEY = key_field(
    "salt, event hour and digest of the event's id, user, type and url, or of the record's place where it has no id",
    "event_id",
    "user_id",
    "anonymous_id",
    "event_type",
    "url",
    *_EVENT_TIME,
    *_RECORD,
)
CLICKS = Table(
    "clickstream_data",
    {"click_data": _FAMILY, "geo_data": _FAMILY, "user_agent_data": _FAMILY, REQUEST_DATA: _FAMILY},
    of_family(
        "click_data",
        time_column(
            "timestamp",
            "event time by the receiver's clock: corrected by `sent_at`, never after the record time",
            *_EVENT_TIME,
        ),
        text("url", "url normalised as metrics count it", "url"),
        text("user_id", "id of the signed-in user; the user key if present", "user_id", **_PERSONAL),
        text("anonymous_id", "id of the device; else the user key", "anonymous_id", **_PERSONAL),
        text("event_type", "`page_view` and `click` count as clicks", "event_type"),
        text("event_id", "id given by the producer; missing where the row key is derived", "event_id", nullable=True),
        column(
            "engagement_time_ms",
            "long",
            "time spent as measured by the client",
            "engagement_time_ms",
            unit="ms",
            nullable=True,
        ),
        time_column("client_timestamp", "`timestamp` as sent, where it was corrected", *_EVENT_TIME, nullable=True),
        time_column("sent_at", "`sent_at` as sent", "sent_at", nullable=True),
        time_column("received_at", "`received_at` as sent", "received_at", nullable=True),
        text("properties", "JSON object of all fields the contract does not name", "other_fields", nullable=True),
        text("referrer_host", "host of the referring url, in lower case, without a port", "referrer", nullable=True),
        text("utm_source", "the campaign's source, of the url as sent", "url", nullable=True),
        text("utm_medium", "the campaign's medium, of the url as sent", "url", nullable=True),
        text("utm_campaign", "the campaign's name, of the url as sent", "url", nullable=True),
        text("source", "Kafka topic id/partition/offset that the row came from", *_RECORD),
        time_column("record_time", "timestamp of the Kafka record", "record_time"),
    )
    | of_family(
        REQUEST_DATA,
        text("ip", "IP address or X-Forwarded-For list as sent", "ip", **_PERSONAL),
        text("user_agent", "user agent as sent", "user_agent", **_PERSONAL),
        text("referrer", "referring url as sent", "referrer", **_PERSONAL),
        text(
            "url_as_sent",
            "url as sent, where it differs from `url`: what was cut off may tell a person",
            "url",
            **_PERSONAL,
        ),
    )
    | of_family(
        "geo_data",
        text("country", "ISO 3166-1 alpha-2; `ZZ` if unknown", "ip"),
        text("city", "English name; empty if unknown", "ip"),
        text("geoip_version", "build of the GeoIP database that located the row", "ip", qualifier="version"),
    )
    | of_family(
        "user_agent_data",
        text("browser", "browser family; `Other` if unknown", "user_agent"),
        text("os", "operating system family; `Other` if unknown", "user_agent"),
        text("device", "device family; `Spider` is a bot, `Other` if unknown", "user_agent"),
        text("bot", "`true` for a bot, which no metric counts", "user_agent"),
        text(
            "user_agent_version", "version of the rules that parsed the user agent", "user_agent", qualifier="version"
        ),
    ),
    split_keys=SALT_BOUNDS,
)
"""One row an event. Of its columns in ``geo_data`` and ``user_agent_data``, upstream are others of the same row."""
ENRICHED_FAMILIES = ("geo_data", "user_agent_data")
"""The families that enrichment writes."""
DEAD_LETTERS_KEY = key_field("Kafka topic id, partition and offset", *_RECORD)
DEAD_LETTERS = Table(
    "clickstream_dead_letters",
    {"letter": _FAMILY},
    of_family(
        "letter",
        column("value", "binary", "the message's bytes; missing for a tombstone", "record_value", **_PERSONAL),
        time_column("record_time", "timestamp of the Kafka record", "record_time"),
        text("reason", "why it was refused, one of the contract's reasons", "record_value", "record_time"),
        text("detail", "the field and what is wrong with it", "record_value", "record_time"),
        text("run_id", "the Dagster run that refused it, stamped by it", *_RECORD),
    ),
)
_HOUR_COUNTS = {
    "kept": "rows that carry an offset of the range, by event hour",
    "late": "of the rows, those that came late",
    "other_types": "of the rows, those of no click type",
    "corrected": "of the rows, those whose clock was off by over an hour",
    "dead_lettered": "messages refused, by the hour of their Kafka record",
    "duplicates": "messages of events that had a row, by the hour of their Kafka record",
    "mended": "dead letters that a replay made rows or duplicates",
}
LEDGER = Table(
    "clickstream_ingest_ledger",
    {"entry": _FAMILY, "hour": _FAMILY},
    of_family(
        "entry",
        column("end", "long", "offset behind the last one of the range"),
        text("kind", "`read`, `gap` (no record in Kafka) or `lost` (to retention)"),
        column("read", "long", "messages read: kept, duplicates and dead letters"),
        text("run_id", "the Dagster run that booked it"),
        time_column("written_at", "when it was booked"),
        column("mended_offsets", "json", "offsets of mended dead letters, by hour"),
        text("version", "of an hour's part: which writing of its events it tells of"),
        column("events", "json", "of an hour's part: what lies in `clickstream_blocks` of its events"),
        column("block", "json", "of an hour's part: what lies there of its clicks, and what enriched them"),
        *(column(name, "long", text) for name, text in _HOUR_COUNTS.items()),
        *(column(f"{name}_by_hour", "json", text) for name, text in _HOUR_COUNTS.items()),
    )
    | of_family(
        "hour",
        column("touched", "counter", "how often something was written that changes the hour's metrics"),
        column("enriched", "long", "`touched` as the last enrichment read it before the rows"),
        column("computed", "long", "`enriched` as the last computation of metrics read it before the rows"),
        column("indexed", "long", "`computed` as the last indexing read it before the metrics"),
        column("doubted", "long", "`touched` when somebody last asked for the hour to be computed whole"),
        column("closed", "long", "`computed` as the last indexing behind the end of the hour read it"),
        column("clicks", "long", "clicks of the hour's metrics when they were last computed"),
        column("users", "long", "people of the hour, exact, when its day was last rolled up"),
        column("users_of", "long", "`computed` as it was then"),
        time_column("day_begun", "of a day: when its last roll-up began"),
        time_column("day_rolled_up", "of a day: the same of the last one that came to its end"),
        time_column("day_indexed", "of a day: the same of the one that its documents are of"),
        time_column("day_dimensions", "of a day: the same of the one that the documents of its dimensions are of"),
        column("day_took", "long", "of a day: how long that took", unit="ms"),
        column("day_covered", "json", "of a day: `computed` of its hours as it was rolled up of them"),
        column("day_columns", "json", "of a day: where the totals of that lie by column"),
        time_column("day_doubted", "of a day: when a check last found it wrong, so that it is done whole"),
        *(
            column(f"day_checked_{asset}", "json", f"of a day: what each check of `{asset}` last found, as of hours")
            for asset in ("daily_metrics", "es_daily_index", "es_dimensions_index")
        ),
        column("refused_by_reason", "json", "dead letters of the hour by reason, as they were last counted"),
        text("told", "state and reason that the hour's document has; gone where it is to be written again"),
        text("told_by", "the Dagster run that last brought the hour's documents up to date"),
        *(
            column(f"held_by_{asset}", "json", f"the checks of `{asset}` that failed, and `touched` before they ran")
            for asset in ("raw_clicks", "enriched_clicks", "url_country_metrics", "es_index")
        ),
        *(
            column(f"checked_{asset}", "json", f"what each check of `{asset}` last found: nothing, or what is wrong")
            for asset in ("raw_clicks", "dead_letters", "enriched_clicks", "url_country_metrics", "es_index")
        ),
    ),
)

# What makes a row of the metrics, which rows count, whose they are, and how long they took.
_GROUP = ("timestamp", "url", "country")
_COUNTED = (*_GROUP, "event_type", "bot")
_USERS = (*_COUNTED, "user_id", "anonymous_id")
_TIMES = (*_USERS, "engagement_time_ms")
METRICS_KEY = key_field("the hour, then SHA-256 of hour, url and country", *_GROUP)
METRICS = Table(
    "clickstream_metrics",
    {"metrics": _FAMILY},
    of_family(
        "metrics",
        column("hour", "long", "event hour", "timestamp", unit="hours since epoch, UTC"),
        text("url", "normalised url", "url"),
        text("country", "ISO 3166-1 alpha-2; `ZZ` if unknown", "country"),
        column("clicks", "long", "events of a click type that are no bot's", *_COUNTED, unit="clicks"),
        column(
            "unique_users", "long", "exact number of distinct user keys; never sum over hours", *_USERS, unit="users"
        ),
        column("measured_views", "long", "clicks whose time spent is known", *_TIMES, unit="clicks"),
        column("time_spent_seconds", "double", "sum of the known times spent", *_TIMES, unit="s"),
        column(
            "average_time_spent",
            "double",
            "time spent per measured view; null where none is",
            *_TIMES,
            unit="s",
            nullable=True,
        ),
        column("users_sketch", "binary", "HLL sketch of the user keys, mergeable over hours", *_USERS),
        time_column("computed_at", "when it was computed and found to be new or changed, stamped by the run", *_GROUP),
        text("run_id", "the Dagster run that computed it then, stamped by it", *_GROUP),
    ),
)
_COUNTED_DAILY = ("clicks", "unique_users", "measured_views", "time_spent_seconds")
DAILY_KEY = key_field("the day, then SHA-256 of day, scope, site, url and country", "hour", "url", "country")
DAILY = Table(
    "clickstream_daily_metrics",
    {"metrics": _FAMILY},
    of_family(
        "metrics",
        column("day", "long", "day in UTC", "hour", unit="days since epoch, UTC"),
        text("scope", "what the totals are of: `url_country`, `url`, `country`, `site` or `all`", "url", "country"),
        text("url", "normalised url; in scopes that name it", "url", nullable=True),
        text("country", "ISO 3166-1 alpha-2; in scopes that name it", "country", nullable=True),
        text("site", "scheme, host and port of the url; in the scope `site`", "url", nullable=True),
        column("clicks", "long", "clicks of the day's hours", "clicks", unit="clicks"),
        column(
            "unique_users",
            "long",
            "exact number of distinct user keys in the day; never sum over days or rows",
            "unique_users",
            unit="users",
        ),
        column("measured_views", "long", "clicks whose time spent is known", "measured_views", unit="clicks"),
        column("time_spent_seconds", "double", "sum of the known times spent", "time_spent_seconds", unit="s"),
        column(
            "average_time_spent",
            "double",
            "time spent per measured view; null where none is",
            "time_spent_seconds",
            "measured_views",
            unit="s",
            nullable=True,
        ),
        time_column("computed_at", "when it was computed and found to be new or changed", *_COUNTED_DAILY),
        text("run_id", "the Dagster run that computed it then", *_COUNTED_DAILY),
    ),
)
BLOCKS = Table(
    "clickstream_blocks", {name: _FAMILY for name in (TODO, "block", "hour", "changed")}, {}, split_keys=SALT_BOUNDS
)
"""Events by column, in numbered cells (:mod:`clickstream_assets.books.blocks`)."""
TABLES = (CLICKS, DEAD_LETTERS, LEDGER, METRICS, BLOCKS, DAILY)


def families(table: Table, request_data_ttl_days: int) -> dict[str, dict[str, Any]]:
    """happybase's family options of a table, with the TTL of personal data."""
    ttl = {"time_to_live": request_data_ttl_days * 86_400}
    return {
        name: {**options, **(ttl if name in (REQUEST_DATA, TODO) else {})} for name, options in table.families.items()
    }
