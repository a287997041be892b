"""The demo shop: its pages, long-tailed, and how visitors land on them."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from urllib.parse import quote

HOST = "https://www.wanderlust.example"

_CATEGORIES = {
    "tents": ("dome-tent", "tunnel-tent", "ultralight-tent", "family-tent", "bivy-bag"),
    "backpacks": ("daypack", "trekking-pack", "hip-bag", "duffel", "rain-cover"),
    "boots": ("trail-shoe", "hiking-boot", "approach-shoe", "gaiter", "wool-sock"),
    "sleeping-bags": ("down-bag", "synthetic-bag", "liner", "sleeping-mat", "pillow"),
    "kitchen": ("gas-stove", "cook-set", "titanium-mug", "water-filter", "spork"),
    "jackets": ("rain-jacket", "down-jacket", "fleece", "wind-shirt", "poncho"),
    "navigation": ("compass", "gps-watch", "map-case", "headlamp", "power-bank"),
}
_NAMES = ("arlberg", "brenta", "cairn", "dolomit", "eiger", "fjäll", "glacier", "hekla", "isar", "jura")
_STORIES = 30


def _all_pages() -> list[str]:
    pages = ["/", "/cart", "/sale", "/search?q=tent", "/account", "/stores", "/help/shipping", "/help/returns"]
    for category, kinds in _CATEGORIES.items():
        pages += [f"/c/{category}", f"/c/{category}?sort=price"]
        pages += [quote(f"/p/{kind}-{name}") for kind in kinds for name in _NAMES]
    return pages + [f"/stories/{number:02}-on-the-trail" for number in range(1, _STORIES + 1)]


PAGES = _all_pages()
"""Some 400 paths, with a query on a few."""

_CAMPAIGNS = (
    "utm_source=google&utm_medium=cpc&utm_campaign=autumn&gclid=",
    "utm_source=newsletter&utm_medium=email&utm_campaign=week",
    "utm_source=instagram&utm_medium=social&fbclid=",
    "UTM_Source=partner&utm_medium=affiliate&msclkid=",
)
_REFERRERS = (
    "https://www.google.com/",
    "https://www.google.com/",
    "https://www.bing.com/",
    "https://duckduckgo.com/",
    "https://l.instagram.com/",
    "https://www.reddit.com/r/ultralight/",
    "https://news.example.org/best-tents?page=2",
    "android-app://com.google.android.gm/",
)


class Shelf:
    """Pages by popularity: a few draw most visits, the tail is long. Which ones is the seed's choice."""

    def __init__(self, rng: Random) -> None:
        tail = PAGES[3:]
        rng.shuffle(tail)
        self._pages: Sequence[str] = PAGES[:3] + tail
        self._cumulative = list(accumulate((rank + 3) ** -0.95 for rank in range(len(self._pages))))

    def page(self, rng: Random) -> str:
        """The address of a page, as a browser has it."""
        return HOST + self._pages[bisect(self._cumulative, rng.random() * self._cumulative[-1])]

    def landing(self, rng: Random) -> tuple[str, str | None]:
        """A first page with the marks of where the visit came from, and the referrer."""
        url, chance = self.page(rng), rng.random()
        if chance < 0.25:
            campaign = rng.choice(_CAMPAIGNS)
            if campaign.endswith("="):
                campaign += f"{rng.getrandbits(64):x}"
            url += ("&" if "?" in url else "?") + campaign
        elif chance < 0.30:
            url = url.replace("www.wanderlust", "WWW.Wanderlust")  # typed, or an old printed link
        elif chance < 0.33:
            url += "#reviews"
        return url, rng.choice(_REFERRERS) if rng.random() < 0.6 else None
