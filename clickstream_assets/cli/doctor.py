"""``clickstream doctor``: what is wrong, and what to do about it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from clickstream_assets.connection_settings import SecretUnreadable
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.settings import Settings, settings
from clickstream_assets.stores.reachability import address_of, require_listener
from clickstream_assets.stores.sign_in import SignInRefused

if TYPE_CHECKING:
    from clickstream_assets.books.hour_states import HourState
    from clickstream_assets.books.misfits import Misfit


class Diagnosis(NamedTuple):
    """Whether all is well, and in words how it is and what to do."""

    good: bool
    words: str
    warnings: Sequence[str] = ()
    """What keeps nothing from working, and should be known."""


_ANSWER_SECONDS = 8
"""How long each server has to answer."""
_PATIENCE_SECONDS = 1
"""A call that fails is tried again for so long; one that took longer is not, so that nobody waits twice."""


@click.command("doctor", short_help="Checks this machine and the servers; says what to do.")
def doctor() -> None:
    """Check Python, memory, the GeoIP database, the servers, topic, tables, lag, and hours not yet up to date.

    Looks at whatever the CLICKSTREAM_* variables name; at memory and ports only if a server is to be on this machine.
    Exits with 1 if anything is wrong.
    """
    well, configured = True, settings()
    for subject, look in _checks(configured):
        try:
            good, words, warnings = look()
        except (SignInRefused, SecretUnreadable) as refused:
            good, words, warnings = Diagnosis(False, str(refused))
        except Exception as error:  # noqa: BLE001  # five clients with errors of their own; each is a finding
            good, words, warnings = Diagnosis(
                False, f"{_first_line(error)} — {_REMEDIES.get(subject, 'see the log of that server')}"
            )
        well &= good
        click.echo(f"{click.style('ok  ', fg='green') if good else click.style('FAIL', fg='red')} {subject}: {words}")
        for warning in warnings:
            click.echo(f"{click.style('warn', fg='yellow')} {subject}: {warning}")
    sys.exit(0 if well else 1)


_START = 'start it with `clickstream stack up` and point this shell at it with `eval "$(clickstream stack env)"`'
_REMEDIES = {
    "Kafka": f"{_START}, or set CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS",
    "HBase": f"{_START}, or set CLICKSTREAM_HBASE_HOST and CLICKSTREAM_HBASE_PORT",
    "Elasticsearch": f"{_START}, or set CLICKSTREAM_ELASTICSEARCH_URL",
    "Spark": f"{_START}, or set CLICKSTREAM_SPARK_REMOTE",
}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _checks(configured: Settings) -> Iterator[tuple[str, Callable[[], Diagnosis]]]:
    yield "Python", _python
    if _on_this_machine(configured):
        yield "memory", _memory
        yield "ports", lambda: _ports(configured)
    yield "GeoIP", lambda: _geoip(configured)
    yield "Kafka", lambda: _kafka(configured)
    yield "HBase", lambda: _hbase(configured)
    yield "Elasticsearch", lambda: _elasticsearch(configured)
    yield "Spark", lambda: _spark(configured)


def _on_this_machine(configured: Settings) -> bool:
    """Whether the address of a server is on this machine, as those of the embedded ones are."""
    servers, host = configured.kafka_bootstrap_servers, configured.hbase_host
    addresses = (servers, host, configured.elasticsearch_url, configured.spark_remote)
    return any(name in address for address in addresses for name in ("localhost", "127.0.0.1", "::1"))


def _python() -> Diagnosis:
    from clickstream_assets.local.stack.requirements import check_platform

    check_platform()
    return Diagnosis(True, f"{sys.version.split()[0]}, and Java comes with the package")


def _memory() -> Diagnosis:
    from clickstream_assets.local.stack.requirements import NEEDED_MB, available_memory_mb

    available = available_memory_mb()
    return Diagnosis(
        available >= NEEDED_MB or _stack_runs(),
        f"{available:,} MB available; the embedded servers need {NEEDED_MB:,}",
    )


def _stack_runs() -> bool:
    from clickstream_assets.local.stack import background

    return any(row.pid for row in background.status(settings()))


def _ports(configured: Settings) -> Diagnosis:
    from clickstream_assets.local.stack import ports

    wanted = {
        "Kafka": configured.stack_kafka_port,
        "HBase": configured.stack_hbase_port,
        "Elasticsearch": configured.stack_elasticsearch_port,
        "Spark": configured.stack_spark_port,
        "Dagster": configured.dagster_port,
        "the analysts' page": configured.page_port,
    }
    if _stack_runs():
        return Diagnosis(True, "the embedded servers are running")
    taken = [f"{name} {port}" for name, port in wanted.items() if port and ports.is_open(port)]
    if taken:
        return Diagnosis(
            True, f"taken: {', '.join(taken)} (servers of your own? else set CLICKSTREAM_STACK_<NAME>_PORT)"
        )
    return Diagnosis(True, "free for the embedded servers")


def _geoip(configured: Settings) -> Diagnosis:
    from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit

    try:
        database = GeoIPDatabase(configured.geoip_database)
    except GeoIPUnfit as unfit:
        return Diagnosis(False, str(unfit))
    return Diagnosis(True, f"{database.version} in {configured.geoip_database}", list(database.warnings(time.time())))


def _with_misfits(words: str, misfits: "Sequence[Misfit]", *, good: bool = True) -> Diagnosis:
    """A store's finding: a misfit that stops everything is a failure, others are warnings."""
    wrong = [misfit.words for misfit in misfits if misfit.stops]
    odd = [misfit.words for misfit in misfits if not misfit.stops]
    return Diagnosis(good and not wrong, f"{words} — {' '.join(wrong)}" if wrong else words, odd)


def _limits() -> dict[str, int]:
    return {"timeout_ms": _ANSWER_SECONDS * 1000, "patience_seconds": _PATIENCE_SECONDS}


def _kafka(configured: Settings) -> Diagnosis:
    from kafka.cluster import collect_hosts

    from clickstream_assets.books.misfits import topic_misfits
    from clickstream_assets.stores.kafka.client import TopicClient, TopicMissing
    from clickstream_assets.stores.kafka.signing_in import sign_in_to_any
    from clickstream_assets.stores.kafka.topic_admin import topic_as_it_is

    servers = configured.kafka_bootstrap_servers
    require_listener((host, port) for host, port, _ in collect_hosts(servers, randomize=False))
    sign_in_to_any(servers)
    with TopicClient(servers, configured.topic, configured.consumer_group, **_limits()) as topic:
        try:
            ends = topic.ends(topic.partitions())
        except TopicMissing as missing:
            return Diagnosis(False, str(missing))
        lag = topic.lag(ends)
    group = configured.consumer_group
    actual = topic_as_it_is(servers, configured.topic, group, timeout_ms=_ANSWER_SECONDS * 1000)
    words = f"{servers}, topic {configured.topic} with {len(ends)} partitions, lag {lag:,} messages"
    return _with_misfits(words, list(topic_misfits(actual, configured.topic, group, servers)))


def _hbase(configured: Settings) -> Diagnosis:
    from clickstream_assets.books.books import Books, TableNames
    from clickstream_assets.books.misfits import table_misfits
    from clickstream_assets.definitions import resources
    from clickstream_assets.stores.hbase.client import HBaseClient
    from clickstream_assets.stores.hbase.thrift_connection import sign_in

    host, port = configured.hbase_host, configured.hbase_port
    require_listener([(host, port)])
    sign_in(host, port)
    with HBaseClient(host, port, **_limits()) as client:
        existing, tables = client.tables(), resources(configured).hbase.new_tables()
        misfits = list(table_misfits(client, tables, existing))
        where, missing = f"{host}:{port}", [table.name for table in tables if table.name not in existing]
        if missing:
            words = f"{where} lacks {', '.join(missing)} — the first run makes them, or `clickstream setup`"
            return _with_misfits(words, misfits, good=False)
        there = f"{where}, all {len(tables)} tables are there"
        if any(misfit.stops for misfit in misfits):
            return _with_misfits(there, misfits)  # what lacks a family cannot be asked for it
        states = Books(client, TableNames.of(configured.name_prefix)).hours.all()
    words, warnings = _hours_behind(states, configured.stale_turn_seconds)
    finding = _with_misfits(f"{there}; {words}", misfits)
    return finding._replace(warnings=[*finding.warnings, *warnings])


def _hours_behind(states: "Mapping[int, HourState]", stale_turn_seconds: int) -> tuple[str, list[str]]:
    """How many hours are not up to date and what happens to them, and a warning about those that are held."""
    from clickstream_assets.books.misfits import first_few

    waiting = sum(state.waiting for state in states.values())
    held = []
    for hour, state in states.items():
        if state.stale and not state.waiting:
            failed = [check for hold in state.holds.values() for check in hold.checks]
            held.append(f"{key_of_hour(hour)} ({', '.join(failed)})")
    words = (
        f"hours that wait to be computed: {waiting:,} (the sensor kafka_offsets takes them at least every "
        f"{stale_turn_seconds / 60:g} min, CLICKSTREAM_STALE_TURN_SECONDS), held by failed checks: {len(held):,}"
    )
    warning = f"documents of these hours stay as they are until the checks pass or new events come: {first_few(held)}"
    return words, [warning] if held else []


def _elasticsearch(configured: Settings) -> Diagnosis:
    from clickstream_assets.books.misfits import index_misfits
    from clickstream_assets.index.aliases import all_indices
    from clickstream_assets.stores.elasticsearch.client import elasticsearch_client, sign_in

    where = configured.elasticsearch_url
    require_listener([address_of(where, 9200)])
    sign_in(where)
    with elasticsearch_client(configured.elasticsearch_url, request_timeout=_ANSWER_SECONDS, max_retries=0) as es:
        health = es.cluster.health()
        has_alias = bool(es.indices.exists_alias(name=configured.alias))
        documents = es.count(index=configured.alias)["count"] if has_alias else 0
        misfits = index_misfits(es, all_indices(configured), where)
    words = f"{where}, status {health['status']}, {documents:,} documents in {configured.alias}"
    return _with_misfits(words, misfits, good=health["status"] != "red")


def _spark(configured: Settings) -> Diagnosis:
    from clickstream_assets.stores.spark.channel import sign_in

    require_listener([address_of(configured.spark_remote, 15002)])
    sign_in(configured.spark_remote)

    from clickstream_assets.stores.spark.resource import SparkResource

    version = SparkResource(remote=configured.spark_remote).session.version
    return Diagnosis(True, f"{configured.spark_remote}, Spark {version}")
