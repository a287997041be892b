"""Which address in a list is the client's, and the place that a GeoIP database gives it.

Databases come in many shapes: for IPv4 alone, for countries alone, of other vendors. What one of them does not say in
the shape of GeoIP2 is unknown, and never an error.
"""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import maxminddb

UNKNOWN_COUNTRY = "ZZ"
LONGEST_LIST = 2_048
"""Characters. What is longer is no list of addresses, and is not taken apart to see."""
_NAT64 = IPv6Network("64:ff9b::/96")
_PERHAPS_AN_ADDRESS = re.compile(r"[0-9.]{7,15}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45}")
"""What is none takes the library ten times as long to say. With a zone it means nothing elsewhere, and is none."""
_COUNTRY_CODE = re.compile("[A-Z]{2}")
_YEAR_SECONDS = 365 * 86_400
_SAMPLE = 1_000
"""Records that are looked through for a country: databases that have any have one in nearly every record."""
Networks = tuple[IPv4Network | IPv6Network, ...]


class GeoIPUnfit(Exception):
    """The database is not there, is none, or is not the one that it should be: which, where, and what to do."""


class Location(NamedTuple):
    """Country code, ``ZZ`` if unknown, and the city's English name, empty if unknown."""

    country: str = UNKNOWN_COUNTRY
    city: str = ""


def client_address(text: str | None, trusted: Networks) -> IPv4Address | IPv6Address | None:
    """The client's address in an ``X-Forwarded-For`` list: the right-most valid one outside ``trusted``.

    An IPv4 address inside an IPv6 one, mapped or by NAT64, is the IPv4 one. None for a text of over
    :data:`LONGEST_LIST` characters.
    """
    if not text or len(text) > LONGEST_LIST:
        return None
    for part in reversed(text.split(",")):
        address = _address(part.strip())
        if address and not any(address in network for network in trusted if network.version == address.version):
            return address
    return None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with or without brackets and port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if not _PERHAPS_AN_ADDRESS.fullmatch(text):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address


class GeoIPDatabase:
    """An open database. It goes on with the file that it opened, whatever takes that file's place."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`GeoIPUnfit` if the file is not there or is no GeoIP database."""
        try:
            self._reader = maxminddb.open_database(path)
        except FileNotFoundError:
            raise GeoIPUnfit(
                f"There is no GeoIP database at {path} on {socket.gethostname()}: set CLICKSTREAM_GEOIP_DATABASE to a "
                "GeoLite2 or GeoIP2 city database, or run `clickstream stack up` once, which fetches one."
            ) from None
        except (OSError, maxminddb.InvalidDatabaseError, ValueError) as error:
            raise GeoIPUnfit(
                f"{path} on {socket.gethostname()} cannot be read as a GeoIP database ({error}): put a GeoLite2 or "
                "GeoIP2 city database in its place, whole and by renaming, or set CLICKSTREAM_GEOIP_DATABASE."
            ) from error
        self.about = self._reader.metadata()

    @property
    def version(self) -> str:
        """Type and build time, like ``GeoLite2-City 1574118223``."""
        return f"{self.about.database_type} {self.about.build_epoch}"

    def place(self, address: IPv4Address | IPv6Address | None) -> Location:
        """Where an address is. What the database cannot answer or says in another shape is unknown."""
        if address is None or address.version > self.about.ip_version:
            return Location()
        try:
            return _place(self._reader.get(address))
        except (ValueError, maxminddb.InvalidDatabaseError):  # of what it has, that record cannot be read
            return Location()

    def warnings(self, now: float) -> Iterator[str]:
        """What is not wrong with the database and should be known, a sentence each. ``now``: seconds since the epoch.

        That it says no countries (a database of networks or of another vendor's shape), knows no IPv6 addresses, is
        over a year old.
        """
        if not self._has_countries():
            yield (
                f"it has no countries where `country.iso_code` would be, so every country is {UNKNOWN_COUNTRY}: "
                "CLICKSTREAM_GEOIP_DATABASE should name a GeoLite2 or GeoIP2 city or country database"
            )
        if self.about.ip_version == 4:
            yield f"it knows no IPv6 addresses, whose country is {UNKNOWN_COUNTRY} therefore"
        if now - self.about.build_epoch > _YEAR_SECONDS:
            built = datetime.fromtimestamp(self.about.build_epoch, UTC)
            yield (
                f"it was built in {built:%B %Y}, over a year ago, and addresses have moved since: "
                "put a newer one in its place, or set CLICKSTREAM_GEOIP_DATABASE"
            )

    def _has_countries(self) -> bool:
        try:
            return any(_place(record).country != UNKNOWN_COUNTRY for _, record in islice(iter(self._reader), _SAMPLE))
        except (ValueError, maxminddb.InvalidDatabaseError):  # records that cannot be read, before any of a country
            return False


def _place(record: Any) -> Location:
    """What a record says: ``country.iso_code`` and ``city.names.en``."""
    code, name = _of(record, "country", "iso_code"), _of(record, "city", "names", "en")
    return Location(
        code if isinstance(code, str) and _COUNTRY_CODE.fullmatch(code) else UNKNOWN_COUNTRY,
        name if isinstance(name, str) else "",
    )


def _of(record: Any, *path: str) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record
