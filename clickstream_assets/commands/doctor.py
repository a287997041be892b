"""``clickstream doctor``: what is wrong, and what to do about it."""

import sys
from collections.abc import Callable, Iterator

import click

from clickstream_assets.clients.reachability import address_of, require_listener
from clickstream_assets.commands.servers import elasticsearch_address, without_secrets
from clickstream_assets.settings import Settings, settings

Finding = tuple[bool, str]
"""Whether all is well, and in words what was found and what to do."""

_ANSWER_SECONDS = 8
"""Who accepts a connection and then does not answer for as long is no server of ours, or not well."""
_PATIENCE_SECONDS = 1
"""What fails sooner is tried again for as long, and what has taken its time is not: nobody waits twice."""


@click.command("doctor", short_help="Checks this machine and the servers; says what to do.")
def doctor() -> None:
    """Check Python, memory, the GeoIP database, the servers, topic, tables and lag.

    Looks at whatever the CLICKSTREAM_* variables name; at memory and ports only if a server is to be on this machine.
    Exits with 1 if anything is wrong.
    """
    well, configured = True, settings()
    for what, look in _checks(configured):
        try:
            good, words = look()
        except Exception as error:  # noqa: BLE001  # five clients with errors of their own; each is a finding
            told = _first_line(error, configured)
            good, words = False, f"{told} — {_REMEDIES.get(what, 'see the log of that server')}"
        well &= good
        click.echo(f"{click.style('ok  ', fg='green') if good else click.style('FAIL', fg='red')} {what}: {words}")
    sys.exit(0 if well else 1)


_START = 'start it with `clickstream stack up` and point this shell at it with `eval "$(clickstream stack env)"`'
_REMEDIES = {
    "Kafka": f"{_START}, or set CLICKSTREAM_KAFKA_BOOTSTRAP_SERVERS",
    "HBase": f"{_START}, or set CLICKSTREAM_HBASE_HOST and CLICKSTREAM_HBASE_PORT",
    "Elasticsearch": f"{_START}, or set CLICKSTREAM_ELASTICSEARCH_URL",
    "Spark": f"{_START}, or set CLICKSTREAM_SPARK_REMOTE",
    "GeoIP": "run `clickstream stack up` once, or set CLICKSTREAM_GEOIP_DATABASE",
}


def _first_line(error: Exception, configured: Settings) -> str:
    words = str(error)
    for url in (configured.elasticsearch_url, configured.spark_remote):
        words = words.replace(url, without_secrets(url))
    lines = words.strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def _checks(configured: Settings) -> Iterator[tuple[str, Callable[[], Finding]]]:
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
    """Whether a server is looked for on this machine, as the embedded ones are."""
    servers, host = configured.kafka_bootstrap_servers, configured.hbase_host
    places = (servers, host, without_secrets(configured.elasticsearch_url), configured.spark_remote)
    return any(name in place for place in places for name in ("localhost", "127.0.0.1", "::1"))


def _python() -> Finding:
    from clickstream_assets.stack.requirements import check_platform

    check_platform()
    return True, f"{sys.version.split()[0]}, and Java comes with the package"


def _memory() -> Finding:
    from clickstream_assets.stack.requirements import NEEDED_MB, available_memory_mb

    available = available_memory_mb()
    return (
        available >= NEEDED_MB or _stack_runs(),
        f"{available:,} MB available; the embedded servers need {NEEDED_MB:,}",
    )


def _stack_runs() -> bool:
    from clickstream_assets.stack import background

    return any(row.pid for row in background.status(settings()))


def _ports(configured: Settings) -> Finding:
    from clickstream_assets.stack import ports

    wanted = {
        "Kafka": configured.stack_kafka_port,
        "HBase": configured.stack_hbase_port,
        "Elasticsearch": configured.stack_elasticsearch_port,
        "Spark": configured.stack_spark_port,
        "Dagster": configured.dagster_port,
    }
    if _stack_runs():
        return True, "the embedded servers are running"
    taken = [f"{name} {port}" for name, port in wanted.items() if port and ports.is_open(port)]
    if taken:
        return True, f"taken: {', '.join(taken)} (servers of your own? else set CLICKSTREAM_STACK_<NAME>_PORT)"
    return True, "free for the embedded servers"


def _geoip(configured: Settings) -> Finding:
    from clickstream_assets.domain.enrichment import geoip_version

    return True, f"{geoip_version(configured.geoip_database)} in {configured.geoip_database}"


def _limits() -> dict[str, int]:
    return {"timeout_ms": _ANSWER_SECONDS * 1000, "patience_seconds": _PATIENCE_SECONDS}


def _kafka(configured: Settings) -> Finding:
    from kafka.cluster import collect_hosts

    from clickstream_assets.clients.kafka import TopicClient, TopicMissing

    servers = configured.kafka_bootstrap_servers
    require_listener((host, port) for host, port, _ in collect_hosts(servers, randomize=False))
    with TopicClient(servers, configured.topic, configured.consumer_group, **_limits()) as topic:
        try:
            ends = topic.ends(topic.partitions())
        except TopicMissing as missing:
            return False, str(missing)
        lag = topic.lag(ends)
    return True, f"{servers}, topic {configured.topic} with {len(ends)} partitions, lag {lag:,} messages"


def _hbase(configured: Settings) -> Finding:
    from clickstream_assets.clients.hbase import HBaseClient
    from clickstream_assets.domain.table_schemas import TABLES

    host, port = configured.hbase_host, configured.hbase_port
    require_listener([(host, port)])
    with HBaseClient(host, port, **_limits()) as client:
        there = client.tables()
    missing = [name for table in TABLES if (name := configured.table(table.name)) not in there]
    where = f"{host}:{port}"
    if missing:
        return (
            False,
            f"{where} lacks {', '.join(missing)} — the first run makes them, or `clickstream setup`",
        )
    return True, f"{where}, all {len(TABLES)} tables are there"


def _elasticsearch(configured: Settings) -> Finding:
    from elasticsearch import Elasticsearch

    require_listener([elasticsearch_address(configured)])
    with Elasticsearch(configured.elasticsearch_url, request_timeout=_ANSWER_SECONDS, max_retries=0) as es:
        health = es.cluster.health()
        there = bool(es.indices.exists_alias(name=configured.alias))
        documents = es.count(index=configured.alias)["count"] if there else 0
    where = without_secrets(configured.elasticsearch_url)
    words = f"{where}, status {health['status']}, {documents:,} documents in {configured.alias}"
    return health["status"] != "red", words


def _spark(configured: Settings) -> Finding:
    require_listener([address_of(configured.spark_remote, 15002)])
    _require_grpc(configured.spark_remote)

    from clickstream_assets.resources.spark import SparkResource

    version = SparkResource(remote=configured.spark_remote).session.version
    return True, f"{without_secrets(configured.spark_remote)}, Spark {version}"


def _require_grpc(remote: str) -> None:
    """Raise TimeoutError unless a gRPC server answers: pyspark itself tries for many minutes."""
    import grpc
    from pyspark.sql.connect.client.core import DefaultChannelBuilder

    with DefaultChannelBuilder(remote).toChannel() as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWER_SECONDS)
        except grpc.FutureTimeoutError as error:
            raise TimeoutError(
                f"{without_secrets(remote)} does not speak Spark Connect: no answer within {_ANSWER_SECONDS} s"
            ) from error
