"""Hours on the command line."""

from datetime import UTC, datetime

import click


class Hour(click.ParamType):
    """An hour, as a partition key or in ISO 8601; in hours since the epoch."""

    name = "hour"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or say what is wrong."""
        if isinstance(value, int):
            return value
        from clickstream_assets.domain.hours import hour_of_key

        text = str(value)
        try:
            return hour_of_key(text)
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no hour: write 2026-01-31-12:00 or 2026-01-31T12:00", param, ctx)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp()) // 3600
