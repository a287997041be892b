"""How long a user stayed on a page, seen from what the user did next (contract: "measured_views")."""

import numpy as np
from numpy.typing import NDArray

TIMEOUT_MS = 30 * 60 * 1000
"""Half an hour without a sign of life ends a visit, as web analytics usually has it; also the cap of one view."""
UNKNOWN = -1


def time_spent_ms(
    user: NDArray[np.int64], time_ms: NDArray[np.int64], is_click: NDArray[np.bool_], engaged_ms: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Milliseconds spent after each event, :data:`UNKNOWN` where nothing tells.

    All four have one element an event, ordered by user (any number that tells users apart), then by time.
    ``engaged_ms`` is the client's own measurement, :data:`UNKNOWN` where there is none; it goes first, capped.
    Else, among the same user's strictly later events within half an hour: the gap to the first of a click type;
    without one, the gap to the last of any other.
    """
    size = len(time_ms)
    if size == 0:
        return np.zeros(0, np.int64)
    # Users side by side on one time line, so far apart that none sees another: one search serves all.
    ordinal = np.cumsum(np.concatenate(([0], user[1:] != user[:-1])))
    start = time_ms.min()
    stride = np.int64(time_ms.max() - start + TIMEOUT_MS + 1)
    line = ordinal * stride + (time_ms - start)

    later = np.searchsorted(line, line, side="right")
    last_in_reach = np.searchsorted(line, line + TIMEOUT_MS, side="right") - 1
    click_line = line[is_click]
    next_click = np.searchsorted(click_line, line, side="right")
    click_at = np.append(click_line, np.iinfo(np.int64).max)[next_click]

    spent = np.full(size, UNKNOWN, np.int64)
    alive = last_in_reach >= later
    spent[alive] = line[last_in_reach[alive]] - line[alive]
    clicked = click_at <= line + TIMEOUT_MS
    spent[clicked] = click_at[clicked] - line[clicked]
    measured = engaged_ms != UNKNOWN
    spent[measured] = np.minimum(engaged_ms[measured], TIMEOUT_MS)
    return spent
