"""The url that metrics count by (docs/contract.md, "Urls").

A rule of our own, not the standard library's: what ``urlsplit`` takes for a host differs between patch levels of
Python, and two nodes must never decide differently about one message.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

MAX_URL_BYTES = 8_192
DROPPED_PARAMETERS = (
    "utm_* mtm_* pk_* matomo_* hsa_* ml_* oly_* gclid gclsrc gbraid wbraid gad_source gad_campaignid dclid srsltid _ga "
    "_gl fbclid msclkid yclid ysclid ttclid twclid li_fat_id igsh igshid epik rdt_cid sccid mc_cid mc_eid mkt_tok "
    "_hsenc _hsmi __hssc __hstc __hsfp hsctatracking _kx vero_id vero_conv dm_i _openstat wickedid rb_clickid s_kwcid "
    "ef_id irclickid"
)
"""Query parameters that tell how a visitor came, not which page it is; with ``*`` at the end, all that begin so."""

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_HIGHEST_PORT = 65_535
_BLANK_OR_CONTROL = re.compile(r"[\s\x00-\x20\x7f-\x9f]")
_PLAIN_URL = re.compile(r"(https?://[a-z0-9.-]+)(/[!\"$->@-~]*)?(?:\?([!\"$-~]*))?")
"""A url in which nothing but the path and the query may need a hand: no port, user info, fragment, upper-case host."""
_URL = re.compile(
    r"([Hh][Tt][Tt][Pp][Ss]?)://"
    r"(?:[^/?#]*@)?"  # user info
    r"(\[[^\]/?#@]*\]|[^/?#@:]*)"  # host
    r"(?::([0-9]*))?"  # port
    r"([^/?#]*)"  # what belongs to none of them
    r"([^?#]*)(?:\?([^#]*))?(?:#(.*))?",
    re.DOTALL,
)
_NO_HOST = re.compile(r'[<>"{}|\\^`\[\]]|%(?![0-9a-f]{2})')
_CACHED_CHARACTERS = 256
"""Longer urls are not remembered: the cache holds a bounded number of them, and so of bytes."""


class InvalidUrl(ValueError):
    """A url that metrics cannot count by; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class UrlRules:
    """Which query parameters are dropped, in lower case: by ``names``, or by how they begin; and whether a fragment
    that begins with ``#/`` or ``#!`` names a page.
    """

    names: frozenset[str]
    prefixes: tuple[str, ...]
    hash_routes: bool = False

    @classmethod
    def of(cls, dropped: Iterable[str], *, hash_routes: bool = False) -> "UrlRules":
        """Rules that drop parameters spelled as in :data:`DROPPED_PARAMETERS`."""
        spelled = {name.strip().lower() for name in dropped} - {""}
        prefixes = tuple(sorted(name[:-1] for name in spelled if name.endswith("*")))
        return cls(frozenset(name for name in spelled if not name.endswith("*")), prefixes, hash_routes)

    def drops(self, pair: str) -> bool:
        """Whether a parameter, ``name=value``, is left out."""
        name = pair.partition("=")[0].lower().removeprefix("amp;")
        return name in self.names or name.startswith(self.prefixes)


DEFAULT_RULES = UrlRules.of(DROPPED_PARAMETERS.split())


def normalized_url(url: str, rules: UrlRules = DEFAULT_RULES) -> str:
    """The url that metrics count by; raises :class:`InvalidUrl`.

    Scheme and host in lower case, no user info, default port or fragment, ``/`` for an empty path, no empty query
    parameter nor one that ``rules`` drop; what is left stays as sent and in order.
    """
    if len(url) <= _CACHED_CHARACTERS:
        return _remembered(url, rules)
    return _normalized(url, rules)


def _normalized(url: str, rules: UrlRules) -> str:
    if (plain := _PLAIN_URL.fullmatch(url)) is not None and len(url) <= MAX_URL_BYTES:
        origin, path, query = plain.groups()
        return f"{origin}{path or '/'}{_kept_query(query, rules)}"
    if len(url) > MAX_URL_BYTES or len(url.encode()) > MAX_URL_BYTES:
        raise InvalidUrl(f"{len(url.encode())} bytes, {MAX_URL_BYTES} at most")
    if _BLANK_OR_CONTROL.search(url):
        raise InvalidUrl("holds white space or a control character")
    parts = _URL.fullmatch(url)
    if parts is None or parts[4]:
        raise InvalidUrl("not an absolute http or https url")
    scheme, host, port, _, path, query, fragment = parts.groups()
    scheme = scheme.lower()
    page = f"{path or '/'}{_kept_query(query, rules)}"
    if rules.hash_routes and fragment and fragment.startswith(("/", "!")):
        page += f"#{fragment}"
    return f"{scheme}://{_host(host.lower())}{_port(port, _DEFAULT_PORTS[scheme])}{page}"


_remembered = lru_cache(maxsize=1 << 16)(_normalized)


def _host(host: str) -> str:
    """A host in lower case, if it is one."""
    if not host:
        raise InvalidUrl("has no host")
    if not host.startswith("["):
        if _NO_HOST.search(host):
            raise InvalidUrl("the host holds a character that no host has")
        return host
    try:
        if "%" in host:
            raise ValueError("a zone")
        IPv6Address(host[1:-1])
    except ValueError:
        raise InvalidUrl("the host in brackets is no IPv6 address without a zone") from None
    return host


def _port(digits: str | None, default: str) -> str:
    """``:port``, or nothing for the default one."""
    if not digits:
        return ""
    number = digits.lstrip("0") or "0"
    if len(number) > len(str(_HIGHEST_PORT)) or int(number) > _HIGHEST_PORT:
        raise InvalidUrl(f"the port is none of 0 to {_HIGHEST_PORT}")
    return "" if number == default else f":{number}"


def _kept_query(query: str | None, rules: UrlRules) -> str:
    kept = "&".join([pair for pair in query.split("&") if pair and not rules.drops(pair)]) if query else ""
    return f"?{kept}" if kept else ""


def site_of(url: str) -> str:
    """Scheme, host and port of a url, normalised; of what is no url, all."""
    return "/".join(url.split("/", 3)[:3])
