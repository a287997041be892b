"""Whether stores that exist already, made by other code or by hand, are fit for this pipeline.

This is checked before anything is written to them (docs/decisions/0018-stores-that-are-there.md). A store that does not
exist is fit: it will be made.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from elasticsearch import Elasticsearch

from clickstream_assets.stores.elasticsearch.new_indices import NewIndices
from clickstream_assets.stores.hbase.client import HBaseClient
from clickstream_assets.stores.hbase.new_tables import NewTable
from clickstream_assets.stores.kafka.topic_admin import TopicAsItIs

LARGEST_EVENT = 1 << 20
"""Bytes of the largest message that is accepted (docs/contract.md)."""
_DAY_MS = 86_400_000
_FOR_EVER_SECONDS = (1 << 31) - 1
_NAMED = 5
_APART = "or set CLICKSTREAM_NAME_PREFIX, which gives this pipeline stores of its own"


class Misfit(NamedTuple):
    """A way in which a store differs from what this pipeline would have made."""

    words: str
    """One sentence: what, where, and what to do."""
    stops: bool
    """Whether the pipeline cannot work with it; otherwise it is a warning."""


def first_few(names: Collection[str]) -> str:
    """Names in order, and of more than five how many more."""
    shown = ", ".join(sorted(names)[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


# Kafka


def topic_misfits(actual: TopicAsItIs, topic: str, group: str, servers: str) -> Iterator[Misfit]:
    """Odd settings of a topic, and members of the consumer group.

    A group with members takes commits from its members alone. This pipeline never joins it (it assigns partitions to
    itself), so it could not commit.
    """
    if actual.members:
        yield Misfit(
            f"The consumer group {group} on Kafka at {servers} is in use by {first_few(actual.members)}, so offsets "
            f"cannot be committed for it: stop these consumers or give them a group of their own, {_APART}.",
            True,
        )
    where = f"The topic {topic} on Kafka at {servers}"
    if actual.partitions == 1:
        yield Misfit(
            f"{where} has one partition, so it is read by one task at a time however much there is: add partitions "
            "with Kafka's own `kafka-topics.sh --alter --partitions 8`.",
            False,
        )
    for name, is_odd, consequence in _ODD_SETTINGS:
        value = actual.settings.get(name)
        if value and is_odd(value):
            yield Misfit(f"{where} has {name}={value}: {consequence}.", False)


_ODD_SETTINGS: Sequence[tuple[str, Callable[[str], bool], str]] = (
    (
        "max.message.bytes",
        lambda value: int(value) < LARGEST_EVENT,
        f"it refuses larger messages, where events of up to {LARGEST_EVENT:,} bytes are accepted; set 4194304",
    ),
    (
        "message.timestamp.type",
        lambda value: value == "LogAppendTime",
        "a record's time is that of its arrival, so events sent again count as sent then; set CreateTime",
    ),
    (
        "cleanup.policy",
        lambda value: "compact" in value,
        "it forgets earlier messages of a key, so hours cannot be read again whole; set delete",
    ),
    (
        "retention.ms",
        lambda value: 0 <= int(value) < _DAY_MS,
        "messages are gone within a day of their record time, read or not; set a week or more, or -1 for ever",
    ),
    (
        "message.timestamp.before.max.ms",
        lambda value: int(value) < _DAY_MS,
        "it refuses messages that were recorded earlier than that, so none can be sent again; take it away",
    ),
)
"""A topic's settings that lose messages or make figures wrong: when, what they do, and what to set instead."""


# HBase


def table_misfits(hbase: HBaseClient, tables: Sequence[NewTable], existing: Collection[str]) -> list[Misfit]:
    """How those of ``tables`` that exist differ from what would be made; one call to HBase for each."""
    where = f"HBase at {hbase.host}:{hbase.port}"
    return [
        misfit
        for table in tables
        if table.name in existing
        for misfit in family_misfits(table, hbase.families(table.name), where)
    ]


def family_misfits(table: NewTable, existing: Mapping[str, Mapping[str, Any]], where: str) -> Iterator[Misfit]:
    """How the families of a table, as they exist with happybase's options, differ from what would be made."""
    title = f"The table {table.name} in {where}"
    lacking, strange = table.families.keys() - existing.keys(), existing.keys() - table.families.keys()
    if lacking:
        missing = [family for family in table.families if family in lacking]
        yield Misfit(
            f"{title} lacks the column famil{'y' if len(missing) == 1 else 'ies'} {', '.join(missing)} and was made by "
            f"other code: add what it lacks in HBase's shell with `{table.alteration(missing)}`, drop the table, "
            f"{_APART}.",
            True,
        )
    elif strange:
        yield Misfit(
            f"{title} has families that this pipeline does not know, {first_few(strange)}: they are left alone; if "
            "nobody else uses the table, delete them.",
            False,
        )
    for family in table.families.keys() & existing.keys():
        yield from _ttl_misfit(table, family, existing[family].get("time_to_live"), title)


def _ttl_misfit(table: NewTable, family: str, seconds: int | None, title: str) -> Iterator[Misfit]:
    wanted = table.families[family].get("time_to_live", _FOR_EVER_SECONDS)
    # For a table without a TTL, Thrift says -1 or the largest number.
    kept = _FOR_EVER_SECONDS if seconds is None or seconds < 0 else seconds
    if kept != wanted:
        yield Misfit(
            f"{title} keeps {family} {_span(kept)} where it should be {_span(wanted)}: set it in HBase's shell with "
            f"`{table.alteration([family])}`.",
            False,
        )


def _span(seconds: int) -> str:
    return "for ever" if seconds == _FOR_EVER_SECONDS else f"for {seconds / 86_400:g} days"


# Elasticsearch


def index_misfits(es: Elasticsearch, wanted: Sequence[NewIndices], where: str) -> list[Misfit]:
    """How indices behind the aliases, or named as if they were, differ from ``wanted``; one call to Elasticsearch."""
    names = [name for of_alias in wanted for name in (of_alias.alias, f"{of_alias.alias}-*")]
    indices = es.indices.get(
        index=names, ignore_unavailable=True, allow_no_indices=True, features=["aliases", "mappings"]
    )
    return [misfit for of_alias in wanted for misfit in indices_misfits(indices.body, of_alias, where)]


def indices_misfits(indices: Mapping[str, Any], wanted: NewIndices, where: str) -> Iterator[Misfit]:
    """The same of one alias, from Elasticsearch's answer: by index, ``aliases`` and ``mappings``."""
    alias = wanted.alias
    if alias in indices:
        yield Misfit(
            f"Elasticsearch at {where} has an index named {alias}, which is to be the name of an alias: copy it under "
            f"another name if it is worth something and delete it, {_APART}.",
            True,
        )
    by_difference: dict[tuple[str, bool], list[str]] = {}
    for name, index in indices.items():
        is_behind = alias in index["aliases"]
        if is_behind or re.fullmatch(re.escape(alias) + wanted.period, name):
            if difference := _mapped_otherwise(index["mappings"], wanted):
                by_difference.setdefault(difference, []).append(name)
            if not is_behind:
                yield Misfit(
                    f"The index {name} in Elasticsearch at {where} is not behind the alias {alias}, so what is "
                    "written to it is not seen: add it with POST _aliases, or delete it and materialize "
                    f"`{wanted.asset}` again.",
                    True,
                )
    for (words, stops), names in by_difference.items():
        remedy = (
            f"delete it, and materializing `{wanted.asset}` makes it anew, or take it from behind the alias, {_APART}"
            if stops
            else 'set {"dynamic": "strict"} with PUT _mapping'
        )
        yield Misfit(
            f"Elasticsearch at {where} maps {first_few(names)} behind the alias {alias} otherwise ({words}): {remedy}.",
            stops,
        )


def _mapped_otherwise(mapping: Mapping[str, Any], wanted: NewIndices) -> tuple[str, bool] | None:
    """How a mapping differs, in words, and whether that keeps documents from being written or found."""
    fields = mapping.get("properties", {})
    differing = [
        f"{name} as {_type(fields[name])} instead of {_type(field)}" if name in fields else f"no {name}"
        for name, field in wanted.mapping["properties"].items()
        if fields.get(name) != field and (name in fields or name not in wanted.added)
    ]
    if differing:
        return ", ".join(differing), True
    if mapping.get("dynamic") != (dynamic := wanted.mapping["dynamic"]):
        return f"dynamic is {str(mapping.get('dynamic', True)).lower()} instead of {dynamic}", False
    return None


def _type(field: Mapping[str, Any]) -> str:
    """A field's type, with the parameters that it should not have."""
    kind = str(field.get("type", "object"))
    more = ", ".join(f"{name} {value}" for name, value in field.items() if name not in ("type", "properties"))
    return f"{kind} ({more})" if more else kind
