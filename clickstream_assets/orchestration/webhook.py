"""Posts JSON to a webhook: a few tries, each with an end."""

from collections.abc import Mapping
from typing import Any

import orjson
import requests

from clickstream_assets.stores.retries import retrying

TIMEOUT_SECONDS = 5
PATIENCE_SECONDS = 10
"""A listener that is away for longer is tried again by the next tick."""


class NotDelivered(Exception):
    """The webhook did not take a message; says why, and never where to: such addresses are secrets."""


def post(url: str, message: Mapping[str, Any]) -> None:
    """Deliver a message, at least once; raises :class:`NotDelivered`."""

    def attempt() -> None:
        try:
            answer = requests.post(
                url,
                data=orjson.dumps(message),
                headers={"Content-Type": "application/json"},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,  # a redirected POST loses its body
            )
        except requests.RequestException as error:
            raise NotDelivered(type(error).__name__) from None
        if not answer.ok or answer.is_redirect:
            raise NotDelivered(f"HTTP {answer.status_code}")

    retrying(lambda error: isinstance(error, NotDelivered), PATIENCE_SECONDS)(attempt)
