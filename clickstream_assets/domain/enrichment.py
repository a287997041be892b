"""Where a click came from and with what: country, city, browser, os, device (contract: "Enrichment")."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import version
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import maxminddb
import ua_parser

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

UNKNOWN_COUNTRY = "ZZ"
OTHER = "Other"
BOT_DEVICE = "Spider"
_CACHED = 1 << 16

Networks = tuple[IPv4Network | IPv6Network, ...]

INPUT = ("timestamp", "ip", "user_agent", "geoip_version", "user_agent_version")
"""Columns that enrichment reads. ``timestamp`` is there for rows without address and user agent: HBase leaves out rows
that have none of the columns asked for."""

OUTPUT = ("country", "city", "geoip_version", "browser", "os", "device", "user_agent_version")
"""Columns that enrichment writes, in order."""


def geoip_version(database: Path) -> str:
    """Type and build time of a GeoIP database, like ``GeoLite2-City 1574118223``; raises FileNotFoundError."""
    with maxminddb.open_database(database) as reader:
        about = reader.metadata()
    return f"{about.database_type} {about.build_epoch}"


def user_agent_version() -> str:
    """Release of the user-agent rules."""
    return f"ua-parser {version('ua-parser-builtins')}"


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
    """Looks up addresses and user agents, each distinct one once."""

    def __init__(self, geoip_database: Path, trusted: Networks) -> None:
        self._reader = maxminddb.open_database(geoip_database)
        self._trusted = trusted
        self.geoip_version = geoip_version(geoip_database)
        self.user_agent_version = user_agent_version()
        self.place = lru_cache(_CACHED)(self._place)
        self.client = lru_cache(_CACHED)(self._client)

    def _place(self, ip: str | None) -> tuple[str, str]:
        """Country code and English city name of an address or list of them as sent."""
        address = client_address(ip, self._trusted)
        found = self._reader.get(address) if address else None
        if not isinstance(found, dict):
            return UNKNOWN_COUNTRY, ""
        country, city = found.get("country"), found.get("city")
        names = city.get("names") if isinstance(city, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        name = names.get("en") if isinstance(names, dict) else None
        return str(code or UNKNOWN_COUNTRY), str(name or "")

    def _client(self, user_agent: str | None) -> tuple[str, str, str]:
        """Browser, os and device family of a user agent as sent."""
        parsed = ua_parser.parse(user_agent or "")
        return (
            parsed.user_agent.family if parsed.user_agent else OTHER,
            parsed.os.family if parsed.os else OTHER,
            parsed.device.family if parsed.device else OTHER,
        )


@lru_cache(maxsize=1)
def _enricher(geoip_database: str, trusted: tuple[str, ...]) -> Enricher:
    # One for each Spark worker process, which serves many tasks: its caches stay warm.
    from ipaddress import ip_network

    return Enricher(Path(geoip_database), tuple(ip_network(text) for text in trusted))


def enrich_batches(
    batches: "Iterable[pa.RecordBatch]", geoip_database: str, trusted: tuple[str, ...]
) -> "Iterator[pa.RecordBatch]":
    """Arrow batches with ``row_key``, ``ip`` and ``user_agent`` to batches of ``row_key`` and :data:`OUTPUT`."""
    import pyarrow as pa

    enricher = _enricher(geoip_database, trusted)
    for batch in batches:
        places = [enricher.place(ip) for ip in batch.column("ip").to_pylist()]
        clients = [enricher.client(text) for text in batch.column("user_agent").to_pylist()]
        size = batch.num_rows
        columns = [
            [country for country, _ in places],
            [city for _, city in places],
            [enricher.geoip_version] * size,
            [browser for browser, _, _ in clients],
            [os for _, os, _ in clients],
            [device for _, _, device in clients],
            [enricher.user_agent_version] * size,
        ]
        arrays = [batch.column("row_key"), *(pa.array(values, pa.string()) for values in columns)]
        yield pa.RecordBatch.from_arrays(arrays, names=["row_key", *OUTPUT])


def enrich(rows: "DataFrame", versions: tuple[str, str], geoip_database: str, trusted: tuple[str, ...]) -> "DataFrame":
    """The enriched columns (``row_key`` and :data:`OUTPUT`) of the rows that lack the current ``versions``.

    ``rows`` has the columns :data:`INPUT`; ``versions`` are those of GeoIP and of the user-agent rules. A row that
    was enriched once and whose request data has expired since is left out: it keeps what it has.
    """
    from pyspark.sql import functions as F

    from clickstream_assets.domain.table_schemas import CLICKS

    current = F.col("geoip_version").eqNullSafe(versions[0]) & F.col("user_agent_version").eqNullSafe(versions[1])
    expired = F.col("ip").isNull() & F.col("user_agent").isNull() & F.col("geoip_version").isNotNull()
    lacking = rows.where(~current & ~expired).select("row_key", "ip", "user_agent")
    return lacking.mapInArrow(
        lambda batches: enrich_batches(batches, geoip_database, trusted), CLICKS.spark_schema(*OUTPUT)
    )
