"""Whose urls metrics count by name, and how many of them in an hour; the others count as one, :data:`OTHER`.

For topics that anybody can fill: whoever copies a site's snippet sends events of their own host, and whoever makes up
urls makes a metric of each (docs/decisions/0027-limits-on-a-hostile-producer.md). Both limits are off unless they are
set.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

OTHER = "(other)"
"""What all urls count as that do not count by name; no event's url, for those begin with http."""
_HOST_RULE = re.compile(r"(\*\.)?[^\s/@:*?#\[\]]+|\[[0-9a-f:.]+\]")


@dataclass(frozen=True, slots=True)
class UrlLimits:
    """Hosts whose urls count by name (all of them if none is named), and the most urls that do so in an hour."""

    hosts: frozenset[str] = frozenset()
    """In lower case, without a port."""
    endings: tuple[str, ...] = ()
    """The same for all hosts that end so, with the dot before."""
    most: int = 0
    """0: any number."""

    @classmethod
    def of(cls, hosts: Iterable[str], most: int = 0) -> "UrlLimits":
        """Limits with hosts as they are set; ``*.`` before one means all below it. Raises ValueError for no host."""
        spelled = sorted({host.strip().lower() for host in hosts} - {""})
        for host in spelled:
            if not _HOST_RULE.fullmatch(host):
                raise ValueError(f"{host!r} is no host: write shop.example, or *.shop.example for all below it")
        named = frozenset(host for host in spelled if not host.startswith("*."))
        return cls(named, tuple(host[1:] for host in spelled if host.startswith("*.")), most)

    @property
    def words(self) -> str:
        """Tells limits apart; empty where there are none."""
        hosts = [*sorted(self.hosts), *(f"*{ending}" for ending in self.endings)]
        return f"{','.join(hosts)} {self.most}" if hosts or self.most else ""

    def takes_host_of(self, url: str) -> bool:
        """Whether a url, normalised, is of a host that counts."""
        if not (self.hosts or self.endings):
            return True
        host = host_of(url)
        return host in self.hosts or host.endswith(self.endings)


NO_LIMITS = UrlLimits()


@dataclass(frozen=True, slots=True)
class CountedUrls:
    """What the urls of one hour count as."""

    limits: UrlLimits = NO_LIMITS
    kept: frozenset[bytes] | None = None
    """Digests of those within the bound; None where the hour has no more than that."""

    @property
    def are_all(self) -> bool:
        """Whether each counts by name."""
        return self.kept is None and not (self.limits.hosts or self.limits.endings)

    def name_of(self, url: str) -> str:
        """A url, normalised, or :data:`OTHER`."""
        if not self.limits.takes_host_of(url) or (self.kept is not None and digest_of(url) not in self.kept):
            return OTHER
        return url

    def bounded(self, clicks: Iterable[tuple[bytes, int]]) -> "CountedUrls":
        """The same for an hour of these urls, as digests with their clicks."""
        most, in_order = self.limits.most, ranked(clicks)
        is_beyond = 0 < most < len(in_order)
        return CountedUrls(self.limits, frozenset(digest for digest, _ in in_order[:most]) if is_beyond else None)


ALL_URLS = CountedUrls()


def host_of(url: str) -> str:
    """The host of a normalised url, without its port."""
    place = url.partition("://")[2].partition("/")[0]
    return f"{place.partition(']')[0]}]" if place.startswith("[") else place.partition(":")[0]


def digest_of(url: str) -> bytes:
    """SHA-256 of a url: of two that are clicked as often, the one with the lower digest is before the other."""
    return sha256(url.encode()).digest()


def ranked(clicks: Iterable[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Digests of urls with their clicks, most clicks first."""
    return sorted(clicks, key=lambda of_url: (-of_url[1], of_url[0]))
