"""Where a click came from and with what: country, city, browser, os, device (docs/contract.md, "Enrichment")."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import ua_parser
from crawleruseragents import is_crawler
from ua_parser import Result

from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.enrich.geoip import GeoIPDatabase, GeoIPUnfit, Networks, client_address
from clickstream_assets.stores.hbase.thrift_rows import SharedCells

OTHER = "Other"
BOT_DEVICE = "Spider"
"""The device family of what ua-parser knows for a bot."""
_LONGEST_REMEMBERED = 256
"""Bytes of an address list or user agent: long ones are rare, and hardly ever the same."""
_ANSWERS = 1 << 16
_Text = TypeVar("_Text", str, bytes | None)
_T = TypeVar("_T")

OUTPUT = ("country", "city", "geoip_version", "browser", "os", "device", "bot", "user_agent_version")
"""Columns that enrichment writes."""


def user_agent_version() -> str:
    """Releases of the rules that parse user agents and tell bots."""
    return f"ua-parser {version('ua-parser-builtins')}, crawler-user-agents {version('crawler-user-agents')}"


def remembering(look_up: Callable[[_Text], _T]) -> Callable[[_Text], _T]:
    """``look_up``, asked once for each distinct text, within bounds, and each time for a long one."""
    remembered = lru_cache(_ANSWERS)(look_up)

    def answer(text: _Text) -> _T:
        return remembered(text) if text is None or len(text) <= _LONGEST_REMEMBERED else look_up(text)

    return answer


class Enricher:
    """Looks up addresses and user agents as HBase holds them, each distinct one once unless it is long."""

    def __init__(self, geoip_database: Path, trusted: Networks) -> None:
        self.geoip = GeoIPDatabase(geoip_database)
        self._trusted = trusted
        self.versions = self.geoip.version, user_agent_version()
        self.place = remembering(self._place)
        self.client = remembering(self._client)

    def _place(self, ip: bytes | None) -> SharedCells:
        """Country code and English city name of an address or list of them as sent."""
        place = self.geoip.place(client_address(ip.decode() if ip else "", self._trusted))
        return _puts(country=place.country, city=place.city, geoip_version=self.versions[0])

    def _client(self, user_agent: bytes | None) -> SharedCells:
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


@remembering
def is_bot(user_agent: str) -> bool:
    """Whether a user agent as it is stored is a bot's."""
    return _is_bot(user_agent, ua_parser.parse(user_agent))


def _puts(**values: str) -> SharedCells:
    return SharedCells(CLICKS.encode(**values))


@lru_cache(maxsize=1)
def _warm_enricher(geoip_database: Path, trusted: tuple[str, ...], _file: tuple[int, ...]) -> Enricher:
    # One for each Spark worker process, which serves many tasks: its caches stay warm.
    return Enricher(geoip_database, tuple(ip_network(text) for text in trusted))


class EnrichmentUnfit(Exception):
    """What a Spark worker enriches by is not what the run names: which, where, and what to do."""


@dataclass(frozen=True, slots=True)
class EnrichmentRules:
    """What enriches, on every worker alike."""

    geoip_database: str
    trusted: tuple[str, ...]
    versions: tuple[str, str]
    """Of the GeoIP database, and of the user-agent rules."""

    @property
    def by(self) -> str:
        return ", ".join(self.versions)

    def enricher(self) -> Enricher:
        """This worker's: the one that it has, as long as the database's file is still the same.

        Raises :class:`EnrichmentUnfit` if it is not of these ``versions``. Enriching under versions of its own would do
        the same rows in every run: each would find them to lack the ones that it wants.
        """
        path, versions = Path(self.geoip_database), self.versions
        file = path.stat() if path.exists() else None
        identity = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns) if file else ()
        try:
            enricher = _warm_enricher(path, self.trusted, identity)
        except GeoIPUnfit as unfit:
            raise EnrichmentUnfit(str(unfit)) from unfit
        has = f"The Spark worker {socket.gethostname()} has"
        if enricher.versions[0] != versions[0]:
            raise EnrichmentUnfit(
                f"{has} {enricher.versions[0]} in {path}, and the run wants {versions[0]}: put the same file on all "
                "workers and where runs start. If it was replaced just now, the next run is right."
            )
        if enricher.versions[1] != versions[1]:
            raise EnrichmentUnfit(
                f"{has} {enricher.versions[1]}, and the run wants {versions[1]}: install what runs have."
            )
        return enricher
