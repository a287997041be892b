"""How a visitor came to a page: the referrer's host, and what the url says of a campaign (docs/contract.md).

Derived as an event is decoded, for what it is derived from is dropped from the url, or expires with request data.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

NONE = "(none)"
"""What stands in totals for what an event does not say, of its origin or of another dimension."""
MAX_CAMPAIGN_CHARACTERS = 128
"""A campaign's source, medium and name are cut after so many."""
MAX_HOST_CHARACTERS = 253
"""Of a name in DNS; a longer one is none."""
_HOST = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\s\x00-\x20\x7f-\x9f]+)(?=[:/?#]|$)"
)
_CACHED_CHARACTERS = 256
"""Longer urls are not remembered: the cache holds a bounded number of them, and so of bytes."""


class Origin(NamedTuple):
    """How a visitor came; None for what is not said."""

    referrer_host: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None


ORIGINS = Origin._fields
_CAMPAIGN = ORIGINS[1:]


def origin_of(referrer: str | None, url: str) -> Origin:
    """How a visitor came, by the referrer and the url as they were sent.

    ``referrer_host`` is in lower case and without a port. Of a campaign's parameters the first that is not empty
    counts, their names compared in lower case; values are decoded, without white space around them.
    """
    if len(referrer or "") <= _CACHED_CHARACTERS and len(url) <= _CACHED_CHARACTERS:
        return _remembered(referrer, url)
    return _origin_of(referrer, url)


def _origin_of(referrer: str | None, url: str) -> Origin:
    return Origin(_host_of(referrer) if referrer else None, *_campaign_of(url))


_remembered = lru_cache(maxsize=1 << 14)(_origin_of)


def _host_of(referrer: str) -> str | None:
    found = _HOST.match(referrer)
    host = found[1].lower() if found else None
    return host if host and len(host) <= MAX_HOST_CHARACTERS else None


def _campaign_of(url: str) -> list[str | None]:
    if "utm_" not in url.lower():
        return [None] * len(_CAMPAIGN)
    values: dict[str, str] = {}
    query = url.partition("#")[0].partition("?")[2]
    for pair in query.split("&"):
        name, _, text = pair.partition("=")
        name = name.lower().removeprefix("amp;")
        if name in _CAMPAIGN and name not in values:
            value = unquote_plus(text).replace("\0", "").strip()[:MAX_CAMPAIGN_CHARACTERS].rstrip()
            if value:
                values[name] = value
    return [values.get(name) for name in _CAMPAIGN]
