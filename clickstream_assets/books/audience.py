"""Who came with what and from where, by column: what the totals of dimensions are counted from (docs/decisions/0032).

Events of one user that agree in every dimension are one row, with how many they are. Enrichment puts them beside the
clicks of an hour's part, the metrics' step puts those of an hour together.
"""

import pyarrow as pa

from clickstream_assets.events.origins import ORIGINS

DIMENSIONS = ("event_type", "browser", "os", "device", "city", *ORIGINS)
"""What is counted beside url and country; an empty text for what an event does not say."""
_KEYS = ("user_key", *DIMENSIONS, "bot")
AUDIENCE = pa.schema(
    [
        ("user_key", pa.string()),
        *((name, pa.string()) for name in DIMENSIONS),
        ("bot", pa.bool_()),
        ("events", pa.int64()),
        ("clicks", pa.int64()),
    ]
)
"""``events`` are of any type, ``clicks`` those of a click type among them."""


def put_together(rows: pa.Table) -> pa.Table:
    """:data:`AUDIENCE` with rows that agree in all but their counts as one, in order of their first."""
    sums = rows.group_by(list(_KEYS), use_threads=False).aggregate([("events", "sum"), ("clicks", "sum")])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names]).select(AUDIENCE.names)
