"""The one source of every stored column: HBase cells, Spark types, Elasticsearch's mapping, metadata in the UI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clickstream_assets.domain.row_keys import SALT_BOUNDS


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its Spark type (``string``, ``long``, ``double``, ``binary``), its HBase cell, its meaning."""

    name: str
    type: str
    cell: str
    description: str

    @property
    def key(self) -> bytes:
        """``family:qualifier`` as HBase wants it."""
        return self.cell.encode()


@dataclass(frozen=True, slots=True)
class Table:
    """An HBase table: its name in the contract, its families with happybase's options, its columns by name."""

    name: str
    families: Mapping[str, Mapping[str, Any]]
    columns: Mapping[str, Column]
    split_keys: Sequence[bytes] = ()
    """Where a new table is split into regions. Only the clicks are: keys of the other tables are text that grows with
    time or offsets, their rows are few, and a split would leave all but the last region idle."""

    def cell_of(self, *names: str) -> dict[str, str]:
        """Column name to HBase cell, for the named columns (all by default)."""
        return {name: self.columns[name].cell for name in names or self.columns}

    def spark_schema(self, *names: str) -> str:
        """The named columns (all by default) behind ``row_key binary``, as Spark's DDL."""
        fields = ["row_key binary", *(f"{name} {self.columns[name].type}" for name in names or self.columns)]
        return ", ".join(fields)


def _columns(*columns: tuple[str, str, str, str]) -> dict[str, Column]:
    return {name: Column(name, kind, cell, text) for name, kind, cell, text in columns}


_FAMILY: dict[str, Any] = {"max_versions": 1, "bloom_filter_type": "ROW", "block_cache_enabled": True}

REQUEST_DATA = "request_data"
"""The family with a TTL of its own: personal data that enrichment needs."""

CLICKS = Table(
    "clickstream_data",
    {"click_data": _FAMILY, "geo_data": _FAMILY, "user_agent_data": _FAMILY, REQUEST_DATA: _FAMILY},
    _columns(
        ("timestamp", "long", "click_data:timestamp", "event time, epoch milliseconds UTC"),
        ("url", "string", "click_data:url", "url normalised as metrics count it"),
        ("url_as_sent", "string", "click_data:url_as_sent", "url as sent, where it differs from `url`"),
        ("user_id", "string", "click_data:user_id", "id of the signed-in user; the user key if present"),
        ("anonymous_id", "string", "click_data:anonymous_id", "id of the device; else the user key"),
        ("event_type", "string", "click_data:event_type", "`page_view` and `click` count as clicks"),
        ("event_id", "string", "click_data:event_id", "id given by the producer; missing where the row key is derived"),
        ("engagement_time_ms", "long", "click_data:engagement_time_ms", "time spent as measured by the client, ms"),
        ("client_timestamp", "long", "click_data:client_timestamp", "`timestamp` as sent, ms, where it was corrected"),
        ("sent_at", "long", "click_data:sent_at", "`sent_at` as sent, epoch milliseconds"),
        ("properties", "string", "click_data:properties", "JSON object of all fields the contract does not name"),
        ("source", "string", "click_data:source", "Kafka topic id/partition/offset that the row came from"),
        ("record_time", "long", "click_data:record_time", "timestamp of the Kafka record, epoch milliseconds"),
        (
            "displaced",
            "string",
            "click_data:displaced",
            "later offsets of the same event, stored before this one was read",
        ),
        ("ip", "string", "request_data:ip", "IP address or X-Forwarded-For list as sent"),
        ("user_agent", "string", "request_data:user_agent", "user agent as sent"),
        ("referrer", "string", "request_data:referrer", "referring url as sent"),
        ("country", "string", "geo_data:country", "ISO 3166-1 alpha-2; `ZZ` if unknown"),
        ("city", "string", "geo_data:city", "English name; empty if unknown"),
        ("geoip_version", "string", "geo_data:version", "build of the GeoIP database that located the row"),
        ("browser", "string", "user_agent_data:browser", "browser family; `Other` if unknown"),
        ("os", "string", "user_agent_data:os", "operating system family; `Other` if unknown"),
        ("device", "string", "user_agent_data:device", "device family; `Spider` is a bot, `Other` if unknown"),
        ("user_agent_version", "string", "user_agent_data:version", "version of the rules that parsed the user agent"),
    ),
    split_keys=SALT_BOUNDS,
)

DEAD_LETTERS = Table(
    "clickstream_dead_letters",
    {"letter": _FAMILY},
    _columns(
        ("value", "binary", "letter:value", "the message's bytes; missing for a tombstone"),
        ("record_time", "long", "letter:record_time", "timestamp of the Kafka record, epoch milliseconds"),
        ("reason", "string", "letter:reason", "why it was refused, one of the contract's reasons"),
        ("detail", "string", "letter:detail", "the field and what is wrong with it"),
        ("run_id", "string", "letter:run_id", "the Dagster run that refused it"),
    ),
)

LEDGER = Table("clickstream_ingest_ledger", {"entry": _FAMILY, "hour": _FAMILY}, {})

METRICS = Table(
    "clickstream_metrics",
    {"metrics": _FAMILY},
    _columns(
        ("hour", "long", "metrics:hour", "event hour, hours since the epoch"),
        ("url", "string", "metrics:url", "normalised url"),
        ("country", "string", "metrics:country", "ISO 3166-1 alpha-2; `ZZ` if unknown"),
        ("clicks", "long", "metrics:clicks", "events of a click type that are no bot's"),
        ("unique_users", "long", "metrics:unique_users", "exact number of distinct user keys; never sum over hours"),
        ("measured_views", "long", "metrics:measured_views", "clicks whose time spent is known"),
        ("time_spent_seconds", "double", "metrics:time_spent_seconds", "sum of the known times spent, seconds"),
        ("average_time_spent", "double", "metrics:average_time_spent", "seconds per measured view; null where none is"),
        ("users_sketch", "binary", "metrics:users_sketch", "HLL sketch of the user keys, mergeable over hours"),
        ("computed_at", "long", "metrics:computed_at", "when it was computed, epoch milliseconds"),
        ("run_id", "string", "metrics:run_id", "the Dagster run that computed it"),
    ),
)

TABLES = (CLICKS, DEAD_LETTERS, LEDGER, METRICS)


def families(table: Table, request_data_ttl_days: int) -> dict[str, dict[str, Any]]:
    """happybase's family options of a table, with the TTL of personal data."""
    made = {name: dict(options) for name, options in table.families.items()}
    if REQUEST_DATA in made:
        made[REQUEST_DATA]["time_to_live"] = request_data_ttl_days * 86_400
    return made


INDEX_MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "hour": {"type": "date"},
        "url": {"type": "keyword"},
        "country": {"type": "keyword"},
        "clicks": {"type": "long"},
        "unique_users": {"type": "long"},
        "measured_views": {"type": "long"},
        "time_spent_seconds": {"type": "double"},
        "average_time_spent": {"type": "double"},
        "users_sketch": {"type": "binary"},
        "computed_at": {"type": "date"},
        "run_id": {"type": "keyword"},
    },
}
"""Elasticsearch's mapping of a metrics document."""


def index_template(alias: str) -> dict[str, Any]:
    """The index template of the monthly indices ``<alias>-YYYY-MM`` behind ``alias``."""
    return {
        "index_patterns": [f"{alias}-*"],
        "priority": 200,
        "template": {
            "settings": {"number_of_shards": 1, "number_of_replicas": 0, "refresh_interval": "30s"},
            "mappings": INDEX_MAPPING,
            "aliases": {alias: {}},
        },
    }
