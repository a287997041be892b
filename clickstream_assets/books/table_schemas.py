"""The one source of every field: HBase cells, Spark types, Elasticsearch's mapping, columns and lineage in the UI."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import orjson

from clickstream_assets.books.row_keys import SALT_BOUNDS
from clickstream_assets.events.click_event import SEGMENT_SPELLINGS

_F = TypeVar("_F", bound="Field")

MESSAGE_BYTES = 4 << 20
"""Of a refused message as it is kept, and of what an event has beside named fields: `1e15` is stored with its zeros."""
_KEY_BYTES = 100
_USUAL_BYTES = 64
"""Of a number, a date, an id of ours."""
_CUT_BYTES = 4 * 2_048
"""Of a text that is cut after 2,048 characters, and of what a rule takes out of it."""
_SHORT_BYTES = 4 * 128
_MOST_BYTES = {
    "url": 8_192,
    "url_as_sent": 8_192,
    "user_id": 512,
    "anonymous_id": 512,
    "event_type": _SHORT_BYTES,
    "event_id": _SHORT_BYTES,
    **dict.fromkeys(("ip", "user_agent", "referrer", "browser", "os", "device"), _CUT_BYTES),
    **dict.fromkeys(("city", "geoip_version", "user_agent_version"), 256),
    "source": 128,
    "properties": MESSAGE_BYTES,
    "value": MESSAGE_BYTES,
    "detail": 4 * 1_000,
    "users_sketch": 8_192,
}
"""By column, what the contract lets a cell hold; Thrift's answers are cut by it (docs/decisions/0015)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What an asset holds of each of its records: its type, its meaning, where its values come from.

    ``upstream`` names the fields of the asset before it that can change the value. What a run stamps on a record
    (its id, a time) comes with the record: upstream of it is what makes the record's key.
    """

    name: str
    type: str
    description: str
    upstream: tuple[str, ...]
    unit: str = ""
    nullable: bool = False
    unique: bool = False
    personal: bool = False
    """Whether it can tell a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Field):
    """A field in HBase: its Spark type (``string``, ``long``, ``double``, ``binary``) and its cell."""

    cell: str
    most_bytes: int
    """What a cell holds at most."""

    @property
    def key(self) -> bytes:
        """``family:qualifier`` as HBase wants it."""
        return self.cell.encode()

    def decode(self, cell: bytes) -> Any:
        """The value of a cell; raises ValueError if it is not of the column's type."""
        return _FROM_BYTES.get(self.type, bytes)(cell)


@dataclass(frozen=True)
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

    def row_bytes(self, *names: str) -> int:
        """What the named columns (all by default) of a row hold at most, its key included."""
        return _KEY_BYTES + sum(self.columns[name].most_bytes for name in names or self.columns)

    def encode(self, **values: Any) -> dict[bytes, bytes]:
        """The cells of a row's columns; None is no cell.

        Numbers are text, but for a ``counter``, which HBase itself counts up: eight bytes. ``json`` is text too.
        """
        return {
            self.columns[name].key: _TO_BYTES.get(self.columns[name].type, bytes)(value)
            for name, value in values.items()
            if value is not None
        }

    def decode(self, cells: Mapping[bytes, bytes]) -> dict[str, Any]:
        """The columns that ``cells`` has, by name; what the table does not declare is left out."""
        columns = self._columns_by_key
        return {columns[key].name: columns[key].decode(cell) for key, cell in cells.items() if key in columns}

    @cached_property
    def _columns_by_key(self) -> Mapping[bytes, Column]:
        return {column.key: column for column in self.columns.values()}

    def spark_schema(self, *names: str) -> str:
        """The named columns (all by default) behind ``row_key binary``, as Spark's DDL."""
        return ", ".join(["row_key binary", *(f"{name} {self.columns[name].type}" for name in names or self.columns)])


_TO_BYTES: Mapping[str, Callable[[Any], bytes]] = {
    "string": str.encode,
    "long": lambda value: b"%d" % value,
    "double": lambda value: repr(value).encode(),  # exact both ways
    "counter": lambda value: value.to_bytes(8, "big", signed=True),
    "json": orjson.dumps,
}
_FROM_BYTES: Mapping[str, Callable[[bytes], Any]] = {
    "string": bytes.decode,
    "long": int,
    "double": float,
    "counter": lambda cell: int.from_bytes(cell, "big", signed=True),
    "json": orjson.loads,
}


def _by_name(*fields: _F) -> dict[str, _F]:
    return {field.name: field for field in fields}


def _column(name: str, kind: str, text: str, *upstream: str, qualifier: str = "", **more: Any) -> Column:
    cell, most_bytes = qualifier or name, _MOST_BYTES.get(name, _USUAL_BYTES)
    return Column(name=name, type=kind, cell=cell, description=text, upstream=upstream, most_bytes=most_bytes, **more)


def _text(name: str, text: str, *upstream: str, **more: Any) -> Column:
    return _column(name, "string", text, *upstream, **more)


def _time(name: str, text: str, *upstream: str, **more: Any) -> Column:
    return _column(name, "long", text, *upstream, unit=EPOCH_MS, **more)


def _family(family: str, *columns: Column) -> dict[str, Column]:
    return {column.name: replace(column, cell=f"{family}:{column.cell}") for column in columns}


def _key(text: str, *upstream: str) -> Field:
    return Field(name="row_key", type="binary", description=text, upstream=upstream, unique=True)


EPOCH_MS = "ms since epoch, UTC"


def _sent(name: str, kind: str, text: str, **more: Any) -> Field:
    others = " and ".join(f"`{'.'.join(spelling)}`" for spelling in SEGMENT_SPELLINGS.get(name, ()))
    text += f"; Segment's {others} is accepted too" if others else ""
    return Field(name=name, type=kind, description=text, upstream=(), **{"nullable": True, **more})


TOPIC = _by_name(
    _sent("timestamp", "string or number", "RFC 3339 (UTC without an offset) or epoch milliseconds", nullable=False),
    _sent("url", "string", "absolute `http` or `https` url of the page", nullable=False),
    _sent(
        "user_id", "string or integer", "id of the signed-in user; this or `anonymous_id` is required", personal=True
    ),
    _sent("anonymous_id", "string or integer", "id of the device; this or `user_id` is required", personal=True),
    _sent("event_id", "string", "messages of one id, user, type and url in one event hour are one event"),
    _sent(
        "event_type",
        "string",
        "`page_view` if missing; `page_view` and `click` count as clicks, `page_leave` ends a view of its url",
    ),
    _sent(
        "sent_at", "string or number", "when the device sent it, like `timestamp`: cancels out the error of its clock"
    ),
    _sent("received_at", "string or number", "when a collector received it, like `timestamp`; else the record time"),
    _sent("engagement_time_ms", "number", "time spent as the client measured it", unit="ms"),
    _sent("ip", "string", "address, or an `X-Forwarded-For` list", personal=True),
    _sent("user_agent", "string", "user agent", personal=True),
    _sent("referrer", "string", "referring url", personal=True),
    _sent("other_fields", "any", "every field that the contract does not name"),
    _sent("record_value", "bytes", "the whole message; null for a tombstone", personal=True),
    _sent("record_time", "long", "timestamp of the Kafka record", unit=EPOCH_MS, nullable=False),
    _sent("record_partition", "int", "Kafka partition of the record", nullable=False),
    _sent("record_offset", "long", "Kafka offset of the record", nullable=False),
)
"""What a message holds (docs/contract.md, "An event"), and what Kafka knows of it: ``record_…``."""

_FAMILY: dict[str, Any] = {"max_versions": 1, "bloom_filter_type": "ROW", "block_cache_enabled": True}

REQUEST_DATA, TODO = "request_data", "todo"
"""The families with a TTL of their own: personal data that enrichment needs."""

_PERSONAL: dict[str, Any] = {"nullable": True, "personal": True}
_EVENT_TIME = ("timestamp", "sent_at", "received_at", "record_time")
_RECORD = ("record_partition", "record_offset")

CLICKS_KEY = _key(
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
    _family(
        "click_data",
        _time(
            "timestamp",
            "event time by the receiver's clock: corrected by `sent_at`, never after the record time",
            *_EVENT_TIME,
        ),
        _text("url", "url normalised as metrics count it", "url"),
        _text("user_id", "id of the signed-in user; the user key if present", "user_id", **_PERSONAL),
        _text("anonymous_id", "id of the device; else the user key", "anonymous_id", **_PERSONAL),
        _text("event_type", "`page_view` and `click` count as clicks", "event_type"),
        _text("event_id", "id given by the producer; missing where the row key is derived", "event_id", nullable=True),
        _column(
            "engagement_time_ms",
            "long",
            "time spent as measured by the client",
            "engagement_time_ms",
            unit="ms",
            nullable=True,
        ),
        _time("client_timestamp", "`timestamp` as sent, where it was corrected", *_EVENT_TIME, nullable=True),
        _time("sent_at", "`sent_at` as sent", "sent_at", nullable=True),
        _time("received_at", "`received_at` as sent", "received_at", nullable=True),
        _text("properties", "JSON object of all fields the contract does not name", "other_fields", nullable=True),
        _text("source", "Kafka topic id/partition/offset that the row came from", *_RECORD),
        _time("record_time", "timestamp of the Kafka record", "record_time"),
    )
    | _family(
        REQUEST_DATA,
        _text("ip", "IP address or X-Forwarded-For list as sent", "ip", **_PERSONAL),
        _text("user_agent", "user agent as sent", "user_agent", **_PERSONAL),
        _text("referrer", "referring url as sent", "referrer", **_PERSONAL),
        _text(
            "url_as_sent",
            "url as sent, where it differs from `url`: what was cut off may tell a person",
            "url",
            **_PERSONAL,
        ),
    )
    | _family(
        "geo_data",
        _text("country", "ISO 3166-1 alpha-2; `ZZ` if unknown", "ip"),
        _text("city", "English name; empty if unknown", "ip"),
        _text("geoip_version", "build of the GeoIP database that located the row", "ip", qualifier="version"),
    )
    | _family(
        "user_agent_data",
        _text("browser", "browser family; `Other` if unknown", "user_agent"),
        _text("os", "operating system family; `Other` if unknown", "user_agent"),
        _text("device", "device family; `Spider` is a bot, `Other` if unknown", "user_agent"),
        _text("bot", "`true` for a bot, which no metric counts", "user_agent"),
        _text(
            "user_agent_version", "version of the rules that parsed the user agent", "user_agent", qualifier="version"
        ),
    ),
    split_keys=SALT_BOUNDS,
)
"""One row an event. Of its columns in ``geo_data`` and ``user_agent_data``, upstream are others of the same row."""
ENRICHED_FAMILIES = ("geo_data", "user_agent_data")
"""The families that enrichment writes."""

DEAD_LETTERS_KEY = _key("Kafka topic id, partition and offset", *_RECORD)
DEAD_LETTERS = Table(
    "clickstream_dead_letters",
    {"letter": _FAMILY},
    _family(
        "letter",
        _column("value", "binary", "the message's bytes; missing for a tombstone", "record_value", **_PERSONAL),
        _time("record_time", "timestamp of the Kafka record", "record_time"),
        _text("reason", "why it was refused, one of the contract's reasons", "record_value", "record_time"),
        _text("detail", "the field and what is wrong with it", "record_value", "record_time"),
        _text("run_id", "the Dagster run that refused it, stamped by it", *_RECORD),
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
    _family(
        "entry",
        _column("end", "long", "offset behind the last one of the range"),
        _text("kind", "`read`, `gap` (no record in Kafka) or `lost` (to retention)"),
        _column("read", "long", "messages read: kept, duplicates and dead letters"),
        _text("run_id", "the Dagster run that booked it"),
        _time("written_at", "when it was booked"),
        _column("mended_offsets", "json", "offsets of mended dead letters, by hour"),
        _text("version", "of an hour's part: which writing of its events it tells of"),
        _column("events", "json", "of an hour's part: what lies in `clickstream_blocks` of its events"),
        _column("block", "json", "of an hour's part: what lies there of its clicks, and what enriched them"),
        *(_column(name, "long", text) for name, text in _HOUR_COUNTS.items()),
        *(_column(f"{name}_by_hour", "json", text) for name, text in _HOUR_COUNTS.items()),
    )
    | _family(
        "hour",
        _column("touched", "counter", "how often something was written that changes the hour's metrics"),
        _column("enriched", "long", "`touched` as the last enrichment read it before the rows"),
        _column("computed", "long", "`enriched` as the last computation of metrics read it before the rows"),
        _column("indexed", "long", "`computed` as the last indexing read it before the metrics"),
        _column("doubted", "long", "`touched` when somebody last asked for the hour to be computed whole"),
        _column("clicks", "long", "clicks of the hour's metrics when they were last computed"),
        *(
            _column(f"held_by_{asset}", "json", f"the checks of `{asset}` that failed, and `touched` before they ran")
            for asset in ("raw_clicks", "enriched_clicks", "url_country_metrics", "es_index")
        ),
    ),
)

# What makes a row of the metrics, which rows count, whose they are, and how long they took.
_GROUP = ("timestamp", "url", "country")
_COUNTED = (*_GROUP, "event_type", "bot")
_USERS = (*_COUNTED, "user_id", "anonymous_id")
_TIMES = (*_USERS, "engagement_time_ms")

METRICS_KEY = _key("the hour, then SHA-256 of hour, url and country", *_GROUP)
METRICS = Table(
    "clickstream_metrics",
    {"metrics": _FAMILY},
    _family(
        "metrics",
        _column("hour", "long", "event hour", "timestamp", unit="hours since epoch, UTC"),
        _text("url", "normalised url", "url"),
        _text("country", "ISO 3166-1 alpha-2; `ZZ` if unknown", "country"),
        _column("clicks", "long", "events of a click type that are no bot's", *_COUNTED, unit="clicks"),
        _column(
            "unique_users", "long", "exact number of distinct user keys; never sum over hours", *_USERS, unit="users"
        ),
        _column("measured_views", "long", "clicks whose time spent is known", *_TIMES, unit="clicks"),
        _column("time_spent_seconds", "double", "sum of the known times spent", *_TIMES, unit="s"),
        _column(
            "average_time_spent",
            "double",
            "time spent per measured view; null where none is",
            *_TIMES,
            unit="s",
            nullable=True,
        ),
        _column("users_sketch", "binary", "HLL sketch of the user keys, mergeable over hours", *_USERS),
        _time("computed_at", "when it was computed and found to be new or changed, stamped by the run", *_GROUP),
        _text("run_id", "the Dagster run that computed it then, stamped by it", *_GROUP),
    ),
)

BLOCKS = Table(
    "clickstream_blocks", {name: _FAMILY for name in (TODO, "block", "hour", "changed")}, {}, split_keys=SALT_BOUNDS
)
"""Events by column, in numbered cells (:mod:`clickstream_assets.books.blocks`)."""

TABLES = (CLICKS, DEAD_LETTERS, LEDGER, METRICS, BLOCKS)


def families(table: Table, request_data_ttl_days: int) -> dict[str, dict[str, Any]]:
    """happybase's family options of a table, with the TTL of personal data."""
    ttl = {"time_to_live": request_data_ttl_days * 86_400}
    return {
        name: {**options, **(ttl if name in (REQUEST_DATA, TODO) else {})} for name, options in table.families.items()
    }


_IN_DOCUMENT: Mapping[str, Mapping[str, str]] = {
    "hour": {"type": "date", "description": "event hour, its start", "unit": "UTC"},
    "computed_at": {"type": "date"},
}
"""Where a document's field is not what its row's column is."""


def _document_field(column: Column) -> Field:
    kind = {"string": "keyword"}.get(column.type, column.type)
    as_in_row: dict[str, Any] = {
        "type": kind,
        "description": column.description,
        "unit": column.unit,
        "nullable": column.nullable,
    }
    return Field(name=column.name, upstream=(column.name,), **{**as_in_row, **_IN_DOCUMENT.get(column.name, {})})


DOCUMENT = _by_name(
    replace(_key("SHA-256, in hex, of hour, url and country", "row_key"), name="_id", type="string"),
    *map(_document_field, METRICS.columns.values()),
)
"""A metrics document in Elasticsearch, in Elasticsearch's types."""

INDEX_MAPPING: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {name: {"type": field.type} for name, field in DOCUMENT.items() if name != "_id"},
}
"""Elasticsearch's mapping of a metrics document."""


def index_template(alias: str) -> dict[str, Any]:
    """The index template of the monthly indices ``<alias>-YYYY-MM`` behind ``alias``."""
    return {
        "index_patterns": [f"{alias}-*"],
        "priority": 200,
        "template": {
            "settings": {
                "number_of_shards": 1,
                "number_of_replicas": 0,
                "refresh_interval": "30s",
                "gc_deletes": "1h",  # what is forgotten to be deleted, a task that writes late would bring back
            },
            "mappings": INDEX_MAPPING,
            "aliases": {alias: {}},
        },
    }
