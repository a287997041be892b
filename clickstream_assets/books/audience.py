"""Who came with what and from where, by column: what the totals of dimensions are counted from (docs/decisions/0032).

Events of one user that agree in every dimension are one row, with how many they are. Enrichment puts them beside the
clicks of an hour's part, the metrics' step puts those of an hour together.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
_SUMMED = [*_KEYS, "events_sum", "clicks_sum"]


def grouped(rows: pa.Table) -> pa.Table:
    """:data:`AUDIENCE` with rows that agree in all but their counts as one, in order of their first."""
    numbered = rows.append_column("number", pa.array(np.arange(len(rows))))
    sums = numbered.group_by(list(_KEYS), use_threads=False).aggregate(
        [("events", "sum"), ("clicks", "sum"), ("number", "min")]
    )
    sums = sums.take(pc.sort_indices(sums.column("number_min")))  # Arrow's own order depends on how rows were cut
    return pa.Table.from_arrays([sums.column(name) for name in _SUMMED], schema=AUDIENCE)
