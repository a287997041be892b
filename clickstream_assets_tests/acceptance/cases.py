"""Messages of real producers that went wrong once, each with what must become of it; ``messages.jsonl`` holds them.

They are of one night in 2026. Kafka refuses records from the future and we refuse events before the first partition,
so a case can be moved by whole hours, with all that is expected of it.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from clickstream_assets.events.message_files import Message, parse_envelope
from clickstream_assets_tests.hard_cases import HOUR

NIGHT_MS = 1_795_402_800_000
"""The hour that every event of the cases happened in: 2026-11-23, 3 o'clock."""
_RFC3339 = re.compile(r"2026-11-23T\d\d:\d\d:\d\d")
_EPOCH_MS = re.compile(r"\b17954\d{8}\b")


@dataclass(frozen=True)
class Case:
    """Envelope lines, and what golden.py makes of them."""

    id: str
    why: str
    lines: tuple[str, ...]
    expected: dict[str, Any]

    def moved(self, hours: int) -> "Case":
        """The same so many hours later."""
        lines = tuple(_moved(line, hours) for line in self.lines)
        metrics = {_moved(key, hours): row for key, row in self.expected["metrics"].items()}
        return Case(self.id, self.why, lines, self.expected | {"metrics": metrics})

    @property
    def messages(self) -> list[Message]:
        """To send."""
        return [parse_envelope(line.encode()) for line in self.lines]


def _moved(text: str, hours: int) -> str:
    def later(match: re.Match[str]) -> str:
        moment = datetime.fromisoformat(match[0]).replace(tzinfo=UTC) + timedelta(hours=hours)
        return moment.strftime("%Y-%m-%dT%H:%M:%S")

    text = _RFC3339.sub(later, text)
    return _EPOCH_MS.sub(lambda match: str(int(match[0]) + hours * HOUR), text)


def _read() -> list[Case]:
    with Path(__file__).with_name("messages.jsonl").open(encoding="utf-8") as file:
        cases = [json.loads(line) for line in file]
    return [
        Case(case["id"], case["why"], tuple(json.dumps(message) for message in case["messages"]), case["expected"])
        for case in cases
    ]


CASES = _read()
