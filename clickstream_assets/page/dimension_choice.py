"""The dimensions that numbers are counted by besides url, country and site, and which of them an address chooses."""

from collections.abc import Mapping
from dataclasses import dataclass

from clickstream_assets.events.origins import NONE
from clickstream_assets.events.url_limits import OTHER
from clickstream_assets.page.invalid_address import MOST_CHARACTERS, InvalidAddress, cut

SPECIAL = {NONE: "not said", OTHER: "all others"}
"""Values that no event says, in words."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """What an event says of its kind, its browser and so on, in words for those who have not read the contract."""

    name: str
    title: str
    """Above a list, and before a value."""
    noun: str
    """In a sentence, after "by"."""
    counts_events: bool = False
    """Whether its number is that of events; else of clicks."""
    has_people: bool = True

    @property
    def counted(self) -> str:
        """What is counted, as a noun."""
        return "event" if self.counts_events else "click"


_ALL = (
    Dimension("browser", "Browser", "browser"),
    Dimension("os", "Operating system", "operating system"),
    Dimension("device", "Device", "device"),
    Dimension("city", "City", "city"),
    Dimension("referrer_host", "Came from", "where people came from"),
    Dimension("utm_source", "Campaign source", "campaign source"),
    Dimension("utm_medium", "Campaign medium", "campaign medium"),
    Dimension("utm_campaign", "Campaign name", "campaign name"),
    Dimension("event_type", "Kind of event", "kind of event", counts_events=True),
    Dimension("bot", "Bots", "bot", counts_events=True, has_people=False),
)
DIMENSIONS: Mapping[str, Dimension] = {dimension.name: dimension for dimension in _ALL}
"""By the name that addresses and documents have, in the order in which the page offers them."""


@dataclass(frozen=True, slots=True)
class DimensionChoice:
    """The dimension whose values are listed, and the one value that bars are of; what is empty does not choose."""

    name: str = ""
    value: str = ""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "DimensionChoice":
        """Raises :class:`InvalidAddress`."""
        name, value = parameters.get("dimension", "").strip(), parameters.get("value", "")
        if name and name not in DIMENSIONS:
            raise InvalidAddress(f"dimension={cut(name)} is no dimension: write one of {', '.join(DIMENSIONS)}.")
        if value and not name:
            raise InvalidAddress(
                f"value={cut(value)} is of no dimension: write dimension=browser or another before it."
            )
        if len(value) > MOST_CHARACTERS:
            raise InvalidAddress(
                f"value={cut(value)} is too long: write one of {MOST_CHARACTERS:,} characters at most."
            )
        return cls(name, value)

    @property
    def parameters(self) -> dict[str, str]:
        """Of an address, those that are not empty."""
        named = {"dimension": self.name, "value": self.value}
        return {name: value for name, value in named.items() if value}

    @property
    def listed(self) -> Dimension:
        """The dimension whose values are listed: the first one if none is chosen."""
        return DIMENSIONS[self.name] if self.name else _ALL[0]

    @property
    def has_people(self) -> bool:
        """Whether the people of the value can be known."""
        return self.listed.has_people and self.value != OTHER


NO_DIMENSION = DimensionChoice()
