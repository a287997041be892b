"""How long a user stayed on a page, seen from what the user did next (docs/contract.md, "measured_views")."""

import numpy as np
from numpy.typing import NDArray

from clickstream_assets.events.hours import TIMEOUT_MS

UNKNOWN = -1
_NEVER = np.iinfo(np.int64).max


def time_spent_ms(
    user: NDArray[np.int64],
    url: NDArray[np.int64],
    time_ms: NDArray[np.int64],
    is_click: NDArray[np.bool_],
    is_leave: NDArray[np.bool_],
    engaged_ms: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Milliseconds spent after each event, :data:`UNKNOWN` where nothing tells.

    All six have one element an event, ordered by user (any number that tells users apart, as for urls), then by time.
    ``engaged_ms`` is the client's own measurement, :data:`UNKNOWN` where there is none; it goes first, capped.
    Else, among the same user's strictly later events within half an hour: the gap to the first that is a click, or
    leaves the same url; without one, the gap to the last of any other.
    """
    size = len(time_ms)
    if size == 0:
        return np.zeros(0, np.int64)
    # Users side by side on one time line, so far apart that none sees another: one search serves all.
    start = time_ms.min()
    stride = np.int64(time_ms.max() - start + TIMEOUT_MS + 1)
    ordinal = np.cumsum(np.concatenate(([0], user[1:] != user[:-1])))
    line = ordinal * stride + (time_ms - start)

    last_in_reach = np.searchsorted(line, line + TIMEOUT_MS, side="right") - 1
    alive = last_in_reach >= np.searchsorted(line, line, side="right")
    spent = np.full(size, UNKNOWN, np.int64)
    spent[alive] = line[last_in_reach[alive]] - line[alive]

    ended = _gap_to_next(line, is_click)
    if is_leave.any():
        # The same, with each user's urls side by side.
        _, page_of_user = np.unique(ordinal * (url.max() + 1) + url, return_inverse=True)
        ended = np.minimum(ended, _gap_to_next(page_of_user * stride + (time_ms - start), is_leave))
    in_time = ended <= TIMEOUT_MS
    spent[in_time] = ended[in_time]
    measured = engaged_ms != UNKNOWN
    spent[measured] = np.minimum(engaged_ms[measured], TIMEOUT_MS)
    return spent


def _gap_to_next(line: NDArray[np.int64], ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """From each place on the time line to the first place strictly behind it that ``ends``; very large without one."""
    times = np.append(np.sort(line[ends]), _NEVER)
    following = times[np.searchsorted(times, line, side="right")]
    return np.where(following == _NEVER, _NEVER, following - line)
