"""Timestamps: every spelling, and the edges of hours, of the future and of the first partition."""

from datetime import UTC, datetime, timedelta, timezone

from clickstream_assets_tests.hard_cases.book import DAY, HOUR, MINUTE, SECOND, SITE, SPAN_MS, Book, rfc3339


def timestamps(book: Book) -> None:
    day = datetime.fromtimestamp(book.hour(30) / 1000, UTC).strftime("%Y-%m-%d")
    bad = {
        "words": "yesterday",
        "30 February": "2026-02-30T12:00:00Z",
        "29 February of no leap year": "2025-02-29T12:00:00Z",
        "month 13": "2026-13-01T12:00:00Z",
        "month 0": "2026-00-10T12:00:00Z",
        "day 0": "2026-01-00T12:00:00Z",
        "hour 24": f"{day}T24:00:00Z",
        "minute 60": f"{day}T12:60:00Z",
        "leap second": "2016-12-31T23:59:60Z",
        "no separator": f"{day}120000Z",
        "underscore": f"{day}_12:00:00Z",
        "only a day": day,
        "only a time": "12:00:00Z",
        "no seconds": f"{day}T12:00Z",
        "basic format": f"{day.replace('-', '')}T120000Z",
        "week date": "2026-W01-1T12:00:00Z",
        "two-digit year": "26-01-01T12:00:00Z",
        "five-digit year": "12026-01-01T12:00:00Z",
        "one-digit hour": f"{day}T1:00:00Z",
        "comma": f"{day}T12:00:00,5Z",
        "point without digits": f"{day}T12:00:00.Z",
        "offset without a colon": f"{day}T12:00:00+0100",
        "offset of hours": f"{day}T12:00:00+01",
        "offset of a day": f"{day}T12:00:00+24:00",
        "named zone": f"{day}T12:00:00[Europe/Berlin]",
        "zone by name": f"{day}T12:00:00 UTC",
        "space before the zone": f"{day}T12:00:00 +01:00",
        "space in front": f" {day}T12:00:00Z",
        "line feed behind": f"{day}T12:00:00Z\n",
        "digits of epoch": str(book.now),
        "http date": "Mon, 23 Nov 2026 10:00:00 GMT",
        "slashes": "2026/11/23 10:00:00",
        "only white space": " ",
        "null in words": "null",
        "minus in front": f"-{day}T12:00:00Z",
    }
    for name, value in bad.items():
        book.add(f"time: {name}", "invalid_timestamp", timestamp=value)
    for name in ("words", "30 February", "no seconds", "digits of epoch", "offset of hours"):
        book.add(f"sent_at: {name}", "invalid_timestamp", sent_at=bad[name])

    def local(offset_minutes: int, pattern: str = "%Y-%m-%dT%H:%M:%S") -> str:
        zone = timezone(timedelta(minutes=offset_minutes))
        return datetime.fromtimestamp(whole / 1000, zone).strftime(pattern)

    # Every spelling of one and the same second; a fraction is cut to the millisecond, so the visit of each "user"
    # below tells by its gap to the click a second and a half later what was made of it.
    whole = book.hour(7) + 20 * MINUTE
    utc = local(0)
    spellings: dict[str, object] = {
        "Z": f"{utc}Z",
        "no offset": utc,
        "lower case": f"{utc.lower()}z",
        "space": utc.replace("T", " ") + "Z",
        "space and no offset": utc.replace("T", " "),
        "+00:00": f"{utc}+00:00",
        "-00:00": f"{utc}-00:00",
        "+05:30": f"{local(330)}+05:30",
        "+05:45": f"{local(345)}+05:45",
        "-03:30": f"{local(-210)}-03:30",
        "+14:00": f"{local(840)}+14:00",
        "-12:00": f"{local(-720)}-12:00",
        "+23:59": f"{local(1439)}+23:59",
        "-23:59": f"{local(-1439)}-23:59",
        "integer": whole,
        "float": float(whole),
    }
    for digits in range(1, 10):
        spellings[f"fraction of {digits}"] = f"{utc}.{'987654321'[:digits]}Z"
        spellings[f"zeros of {digits}"] = f"{utc}.{'0' * digits}+00:00"
    spellings["fraction of 30"] = f"{utc}.{'9' * 30}Z"
    spellings["fraction that rounds"] = f"{utc}.9999Z"
    spellings["fraction that a float loses"] = f"{utc}.001Z"
    spellings["float that rounds"] = whole + 0.999
    for name, value in spellings.items():
        page = f"{SITE}/spelling/{name.replace(' ', '-').replace('+', 'plus-')}"
        user = f"spells {name}"
        book.add(f"spelling: {name}", timestamp=value, record=whole + 1200, url=page, user_id=user)
        book.add(f"spelling: {name}, next", at=whole + 1500, url=f"{SITE}/next", user_id=user)


def edges_of_time(book: Book) -> None:
    # 15:00 exactly is one hour, a millisecond earlier the other
    edge = book.hour(6)
    for name, at in {"last ms of an hour": edge - 1, "first ms of an hour": edge, "its second ms": edge + 1}.items():
        book.add(f"edge: {name}", at=at)
    book.add("edge: a fraction short of the hour", record=edge + SECOND, timestamp=edge - 0.25)
    book.add("edge: recorded in the hour after", at=edge - 50, record=edge + 50)

    # Ahead of the record time
    ahead = {"1 ms": 1, "4:59": 299 * SECOND, "5:00 exactly": 300 * SECOND}
    for name, lead in ahead.items():
        record = book.tick()
        book.add(f"ahead: {name}", record=record, at=record + lead)
    record = edge - 2 * MINUTE
    book.add("ahead: over the hour, so back into it", record=record, at=record + 4 * MINUTE)
    book.add("ahead: the two meet at one time, 1", record=record, at=record + 3 * MINUTE, user_id="ahead twice")
    book.add("ahead: the two meet at one time, 2", record=record, at=record + 1 * MINUTE, user_id="ahead twice")
    future: dict[str, object] = {
        "1e300": 1e300,
        "10^300": 10**300,
        "2^63": 1 << 63,
        "year 9999": "9999-12-31T23:59:59Z",
    }
    future |= {"year 9999 west of UTC": "9999-12-31T23:59:59.999-23:59", "microseconds": book.now * 1000}
    for name, value in future.items():
        book.add(f"future: {name}", "timestamp_in_future", timestamp=value)
    for name, lead in {"5:00.001": 300_001, "5:01": 301_000, "an hour": HOUR, "a year": 365 * DAY}.items():
        record = book.tick()
        book.add(f"future: {name}", "timestamp_in_future", record=record, at=record + lead)

    book.add("first: the hour's first ms", at=book.first_ms, record=book.now - SPAN_MS + HOUR)
    book.add("first: the next", at=book.first_ms + 1, record=book.now - 3 * HOUR)
    long_ago: dict[str, object] = {
        "1 ms before": book.first_ms - 1,
        "a fraction of a ms before": book.first_ms - 0.5,
        "an hour before": rfc3339(book.first_ms - HOUR),
        "zero": 0,
        "minus one": -1,
        "a negative float": -0.5,
        "-1e300": -1e300,
        "-10^300": -(10**300),
        "seconds instead of milliseconds": book.now // 1000,
        "seconds with a fraction": book.now / 1000,
        "1970": "1970-01-01T00:00:00Z",
        "1969 with a fraction": "1969-12-31T23:59:59.999Z",
        "year 1": "0001-01-01T00:00:00Z",
        "year 1 east of UTC": "0001-01-01T00:00:00+23:59",
    }
    for name, value in long_ago.items():
        book.add(f"first: {name}", "before_first_partition", timestamp=value)
