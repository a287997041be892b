"""Why a message is refused."""

from typing import NoReturn

REASONS = (
    "too_large",
    "invalid_encoding",
    "invalid_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "too_long",
    "invalid_text",
    "invalid_timestamp",
    "invalid_url",
    "timestamp_in_future",
    "before_first_partition",
    "too_old",
)


class Refused(Exception):
    """A message that belongs in the dead letters.

    ``reason`` is one of :data:`REASONS`; ``detail`` names the field and what is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def json_type(value: object) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def wrong_type(name: str, value: object) -> NoReturn:
    raise Refused("wrong_type", f"{name}: a {json_type(value)}")
