"""Hours on the command line."""

from datetime import UTC, datetime

import click


class Hour(click.ParamType):
    """A whole hour, as a partition key or in ISO 8601, UTC if it has no offset; in hours since the epoch."""

    name = "hour"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value)
        try:
            moment = datetime.fromisoformat(text)  # which reads partition keys too: any one character may stand for T
        except ValueError:
            self.fail(f"{text!r} is no hour: write 2026-01-31-12:00 or 2026-01-31T12:00", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        hour, rest = divmod(moment.timestamp(), 3600)
        if rest:
            self.fail(f"{text!r} is no whole hour in UTC: write 2026-01-31-12:00 or 2026-01-31T12:00", param, ctx)
        return int(hour)
