"""Dead letters counted against the ledger, in each of the hours that one entry holds something of."""

import json

from clickstream_assets.checks.dead_letters import letters_match_ledger
from clickstream_assets.checks.evidence import Evidence
from clickstream_assets.events.hours import key_of_hour
from clickstream_assets.settings import Settings
from clickstream_assets_tests.fakes.servers import HOUR_MS, LETTERS, World

FIRST = 490_000


def test_letters_of_an_entry_of_two_hours_are_counted_in_theirs():
    world = World(FIRST)
    event = {"user_id": "u", "url": "https://h.example/", "timestamp": FIRST * HOUR_MS}
    world.topic.send(json.dumps(event).encode(), FIRST * HOUR_MS)
    world.topic.send(b"{", (FIRST + 1) * HOUR_MS)
    world.ingest()
    limits = Settings(first_hour=key_of_hour(FIRST))

    def passed():
        evidence = Evidence([FIRST, FIRST + 1], world.books, limits, elasticsearch=None)
        return {hour: finding.passed for hour, finding in letters_match_ledger(evidence).items()}

    assert passed() == {FIRST: True, FIRST + 1: True}
    world.hbase.tables[LETTERS].clear()
    assert passed() == {FIRST: True, FIRST + 1: False}
