"""Where a click came from and with what: country, city, browser, os, device (contract: "Enrichment")."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

import maxminddb
import ua_parser
from crawleruseragents import is_crawler
from ua_parser import Result

from clickstream_assets.clients.hbase import HBaseClient, Row, RowMutation, rows_per_call, where
from clickstream_assets.domain.table_schemas import CLICKS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

UNKNOWN_COUNTRY = "ZZ"
OTHER = "Other"
BOT_DEVICE = "Spider"
"""The device family of what ua-parser knows for a bot."""
_CACHED = 1 << 16

Networks = tuple[IPv4Network | IPv6Network, ...]

INPUT = ("timestamp", "ip", "user_agent", "geoip_version", "user_agent_version")
"""Columns that enrichment reads. ``timestamp`` is there for rows without address and user agent: HBase leaves out rows
that have none of the columns asked for."""

OUTPUT = ("country", "city", "geoip_version", "browser", "os", "device", "bot", "user_agent_version")
"""Columns that enrichment writes."""

_CELLS = {name: CLICKS.columns[name].key for name in {*INPUT, *OUTPUT}}


def geoip_version(database: Path) -> str:
    """Type and build time of a GeoIP database, like ``GeoLite2-City 1574118223``; raises FileNotFoundError."""
    with maxminddb.open_database(database) as reader:
        about = reader.metadata()
    return f"{about.database_type} {about.build_epoch}"


def user_agent_version() -> str:
    """Releases of the rules that parse user agents and tell bots."""
    return f"ua-parser {version('ua-parser-builtins')}, crawler-user-agents {version('crawler-user-agents')}"


def client_address(text: str | None, trusted: Networks) -> IPv4Address | IPv6Address | None:
    """The client's address in an ``X-Forwarded-For`` list: the right-most valid one outside ``trusted``."""
    for part in reversed((text or "").split(",")):
        candidate = part.strip()
        if candidate.startswith("["):
            candidate = candidate[1:].partition("]")[0]
        elif candidate.count(":") == 1:
            candidate = candidate.partition(":")[0]
        try:
            address = ip_address(candidate)
        except ValueError:
            continue
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                continue
            address = address.ipv4_mapped or address
        if not any(address in network for network in trusted if network.version == address.version):
            return address
    return None


class Enricher:
    """Looks up addresses and user agents as HBase holds them, each distinct one once."""

    def __init__(self, geoip_database: Path, trusted: Networks) -> None:
        self._reader = maxminddb.open_database(geoip_database)
        self._trusted = trusted
        self.versions = geoip_version(geoip_database), user_agent_version()
        self.place = lru_cache(_CACHED)(self._place)
        self.client = lru_cache(_CACHED)(self._client)

    def changes(self, rows: Iterable[Row]) -> Iterator[RowMutation]:
        """The cells of :data:`OUTPUT` for each of some rows, which hold those of :data:`INPUT`.

        A row that was enriched once and whose request data has expired since is left out: it keeps what it has.
        """
        ip_cell, agent_cell, geoip_cell = (_CELLS[name] for name in ("ip", "user_agent", "geoip_version"))
        for row in rows:
            cells = row.columns
            ip, agent = cells.get(ip_cell), cells.get(agent_cell)
            if ip is None and agent is None and geoip_cell in cells:
                continue
            yield RowMutation(row.row, self.place(ip and ip.value) | self.client(agent and agent.value))

    def _place(self, ip: bytes | None) -> dict[bytes, bytes]:
        """Country code and English city name of an address or list of them as sent."""
        address = client_address(ip.decode() if ip else "", self._trusted)
        found = self._reader.get(address) if address else None
        country, city = (found.get("country"), found.get("city")) if isinstance(found, dict) else (None, None)
        names = city.get("names") if isinstance(city, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        name = names.get("en") if isinstance(names, dict) else None
        return _puts(country=str(code or UNKNOWN_COUNTRY), city=str(name or ""), geoip_version=self.versions[0])

    def _client(self, user_agent: bytes | None) -> dict[bytes, bytes]:
        """Browser, os and device family of a user agent as sent, and whether it is a bot's."""
        text = user_agent.decode() if user_agent else ""
        parsed = ua_parser.parse(text)
        return _puts(
            browser=parsed.user_agent.family if parsed.user_agent else OTHER,
            os=parsed.os.family if parsed.os else OTHER,
            device=parsed.device.family if parsed.device else OTHER,
            bot="true" if _is_bot(text, parsed) else "false",
            user_agent_version=self.versions[1],
        )


def _is_bot(user_agent: str, parsed: Result) -> bool:
    return (parsed.device is not None and parsed.device.family == BOT_DEVICE) or is_crawler(user_agent)


@lru_cache(_CACHED)
def is_bot(user_agent: str) -> bool:
    """Whether a user agent as it is stored is a bot's."""
    return _is_bot(user_agent, ua_parser.parse(user_agent))


def _puts(**values: str) -> dict[bytes, bytes]:
    return {_CELLS[name]: value.encode() for name, value in values.items()}


@lru_cache(maxsize=1)
def _enricher(geoip_database: str, trusted: tuple[str, ...]) -> Enricher:
    # One for each Spark worker process, which serves many tasks: its caches stay warm.
    return Enricher(Path(geoip_database), tuple(ip_network(text) for text in trusted))


def enrich(
    spark: "SparkSession",
    hbase: HBaseClient,
    table: str,
    tasks: Sequence[Sequence[tuple[bytes, bytes]]],
    versions: tuple[str, str],
    geoip_database: str,
    trusted: tuple[str, ...],
) -> int:
    """Enrich the rows that lack the current ``versions``, of GeoIP and of the user-agent rules; returns how many.

    ``tasks`` are the key ranges (start included, stop not) that each Spark task sees to, from scan to put: only what
    lacks the versions leaves HBase, and nothing of it the worker. A task that runs again finds less to do.
    """
    if not tasks:
        return 0
    server = hbase.host, hbase.port
    columns, batch_rows = [_CELLS[name] for name in INPUT], rows_per_call(CLICKS.row_bytes(*INPUT))
    lacking = b" OR ".join(
        where(_CELLS[name], "!=", current.encode(), or_missing=True)
        for name, current in zip(("geoip_version", "user_agent_version"), versions, strict=True)
    )

    def work(batches: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        enricher = _enricher(geoip_database, trusted)
        with HBaseClient(*server) as reader, HBaseClient(*server) as writer:
            for batch in batches:
                for number in batch.column(0).to_pylist():
                    rows = (
                        row
                        for start, stop in tasks[number]
                        for some in reader.scan_batches(
                            table, start, stop, columns, filter_string=lacking, batch_rows=batch_rows
                        )
                        for row in some
                    )
                    yield pa.record_batch({"rows": [writer.mutate(table, enricher.changes(rows))]})

    done = spark.range(0, len(tasks), 1, len(tasks)).mapInArrow(work, "rows long").toArrow()
    return sum(done.column("rows").to_pylist())
