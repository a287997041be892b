"""What tests of the domain share."""

import pytest

from clickstream_assets.domain import outcomes
from clickstream_assets.domain.click_event import Refused, decode


@pytest.fixture
def refuse(monkeypatch):
    """Makes ingestion refuse messages that hold a word."""

    def refuse_those_with(word):
        def stricter(message, *rules):
            if word in message:
                raise Refused("invalid_url", "url: stricter now")
            return decode(message, *rules)

        monkeypatch.setattr(outcomes, "decode", stricter)

    return refuse_those_with
