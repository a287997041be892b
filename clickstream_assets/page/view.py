"""What somebody looks at, and the address that says so: the whole view is in the address, so it can be sent on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from urllib.parse import urlencode

from clickstream_assets.events.hours import hour_of_key, key_of_hour
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.events.urls import DEFAULT_RULES, InvalidUrl, UrlRules, normalized_url
from clickstream_assets.page.dimension_choice import NO_DIMENSION, DimensionChoice
from clickstream_assets.page.invalid_address import MOST_CHARACTERS, InvalidAddress, cut

MOST_DAYS = {"day": 400, "hour": 31}
"""Days that a view may span, by how fine it is."""
_FIRST_YEAR, _LAST_YEAR = 2000, 2100
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_HOUR = re.compile(r"\d{4}-\d\d-\d\d-\d\d:00")


@dataclass(frozen=True, slots=True)
class Choice:
    """What is counted: the clicks on a url, from a country, on a site; what is empty does not choose.

    ``url`` is as metrics count it, ``country`` a code in upper case, ``site`` scheme, host and port.
    """

    url: str = ""
    country: str = ""
    site: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str], rules: UrlRules = DEFAULT_RULES) -> "Choice":
        """Raises :class:`InvalidAddress`."""
        url, country, site = (parameters.get(name, "").strip() for name in ("url", "country", "site"))
        if url and site:
            raise InvalidAddress("A url is of one site already: leave the url or the site empty.")
        return cls(_url(url, rules), _country(country), _site(site, rules))

    @property
    def parameters(self) -> dict[str, str]:
        """Of an address, those that are not empty."""
        named = {"url": self.url, "country": self.country, "site": self.site}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Overview:
    """Bars by the ``hour`` or the ``day``, from the first day to the last, both included, in UTC."""

    by: Literal["hour", "day"]
    first: date
    last: date
    choice: Choice = Choice()
    dimension: DimensionChoice = NO_DIMENSION
    dropped: Choice = Choice()
    """What the address chooses too, but is not counted together with a dimension's value."""

    @classmethod
    def of(cls, parameters: Mapping[str, str], today: date, rules: UrlRules = DEFAULT_RULES) -> "Overview":
        """Without a word on time: yesterday and today by the hour. Raises :class:`InvalidAddress`."""
        by = parameters.get("by", "hour") or "hour"
        if by not in ("hour", "day"):
            raise InvalidAddress(f"by={cut(by)} is neither hour nor day: write one of them.")
        last = _date("to", parameters.get("to", "")) or today
        first = _date("from", parameters.get("from", "")) or min(last, today) - timedelta(days=1)
        if last < first:
            raise InvalidAddress(f"The last day, {last}, is before the first, {first}: change one of them.")
        if (days := (last - first).days + 1) > MOST_DAYS[by]:
            raise InvalidAddress(
                f"{days} days by the {by} are too many for one page, which has {MOST_DAYS[by]} at most: choose "
                f"fewer days{', or count by the day' if by == 'hour' else ''}."
            )
        choice, dimension = Choice.of(parameters, rules), DimensionChoice.of(parameters)
        counted, dropped = (Choice(), choice) if dimension.value else (choice, Choice())
        return cls("hour" if by == "hour" else "day", first, last, counted, dimension, dropped)

    @property
    def days(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    @property
    def moments(self) -> list[datetime]:
        """When each bar begins, in UTC."""
        starts = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in self.days]
        if self.by == "day":
            return starts
        return [start + timedelta(hours=hour) for start in starts for hour in range(24)]

    @property
    def address(self) -> str:
        span = {"by": self.by, "from": self.first.isoformat(), "to": self.last.isoformat()}
        return "/?" + urlencode(span | self.choice.parameters | self.dimension.parameters)

    def over(self, by: Literal["hour", "day"], first: date, last: date) -> "Overview":
        """The same choice over other days."""
        return replace(self, by=by, first=first, last=last)

    def only(self, **chosen: str) -> "Overview":
        """The same days, with more chosen; a url takes the place of a site, and all of them that of a dimension."""
        choice = replace(self.choice, **chosen)
        choice = replace(choice, site="") if choice.url else choice
        return replace(self, choice=choice, dimension=NO_DIMENSION, dropped=Choice())

    def by_dimension(self, name: str, value: str = "") -> "Overview":
        """The same days by a dimension, or of one value of it, which is counted of every url and country alone."""
        return replace(self, choice=Choice(), dimension=DimensionChoice(name, value), dropped=Choice())


@dataclass(frozen=True, slots=True)
class Page:
    """One hour (since the epoch) of what is chosen."""

    hour: int
    choice: Choice = Choice()

    @classmethod
    def of(cls, parameters: Mapping[str, str], rules: UrlRules = DEFAULT_RULES) -> "Page":
        """Raises :class:`InvalidAddress`."""
        return cls(_hour(parameters.get("hour", "")), Choice.of(parameters, rules))

    @property
    def address(self) -> str:
        return "/hour?" + urlencode({"hour": key_of_hour(self.hour)} | self.choice.parameters)

    @property
    def explanation(self) -> str:
        """The address that explains it, of a url and a country."""
        return "/explain?" + urlencode({"hour": key_of_hour(self.hour)} | self.choice.parameters)


def _date(name: str, text: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) and text.isascii() else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise InvalidAddress(f"{name}={cut(text)} is no day: write it like 2026-01-31.")
    return day


def _hour(text: str) -> int:
    try:
        hour = hour_of_key(text) if _HOUR.fullmatch(text) and text.isascii() else None
    except ValueError:
        hour = None
    if hour is None or not _FIRST_YEAR <= int(text[:4]) <= _LAST_YEAR:
        raise InvalidAddress(f"hour={cut(text)} is no whole hour: write it like 2026-01-31-12:00, in UTC.")
    return hour


def _country(text: str) -> str:
    if text and not (len(text) == 2 and text.isascii() and text.isalpha()):
        raise InvalidAddress(f"country={cut(text)} is no country: write its two letters, like DE; ZZ is unknown.")
    return text.upper()


def _url(text: str, rules: UrlRules) -> str:
    if not text or text == OTHER:
        return text
    try:
        if len(text) > MOST_CHARACTERS:
            raise InvalidUrl("too long")
        return normalized_url(text if "://" in text else f"https://{text}", rules)
    except InvalidUrl as error:
        raise InvalidAddress(
            f"url={cut(text)} is no web address ({error}): write it like https://shop.example/shoes."
        ) from None


def _site(text: str, rules: UrlRules) -> str:
    if not text or text == OTHER:
        return text
    try:
        origin = re.match(r"https?://[^/?#]+", _url(text, rules))
    except InvalidAddress:
        origin = None
    if origin is None:
        raise InvalidAddress(f"site={cut(text)} is no site: write it like https://shop.example.")
    return origin[0]
