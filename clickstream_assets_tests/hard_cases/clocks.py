"""Clocks of devices that are wrong, and records that come late or out of order."""

from clickstream_assets_tests.hard_cases.book import DAY, HOUR, MINUTE, SECOND, SITE, SPAN_MS, Book, rfc3339


def device_clocks(book: Book) -> None:
    year = 365 * DAY
    record = book.hour(5) + 40 * MINUTE
    clocks = {
        "three years slow": (record - 3 * year, 2 * SECOND),
        "thirty years fast": (record + 30 * year, 2 * SECOND),
        "in 1970": (12_345, 3 * SECOND),
        "before 1970": (-5 * year, 3 * SECOND),
        "right": (record - SECOND, 900),
        "sent at once": (record - 9 * HOUR, 0),
        "a day on the device": (record - 26 * HOUR, 24 * HOUR),
        "over the hour": (record + 5 * HOUR, 41 * MINUTE),
        "just into the hour": (record + 5 * HOUR, 40 * MINUTE),
    }
    for name, (stamped, delay) in clocks.items():
        book.add(f"clock: {name}", at=stamped, record=record, sent_at=rfc3339(stamped + delay), url=f"{SITE}/clock")
    # Sent before it happened: a time rounded to seconds, or a device that is not to be trusted on that
    book.add("clock: sent before", at=record - HOUR, record=record, sent_at=rfc3339(record - 2 * HOUR))
    book.add("clock: sent 1 ms before", at=record - HOUR, record=record, sent_at=rfc3339(record - HOUR - 1))
    fast = record + year
    for ahead in (1, 1999, 2000):
        book.add(f"clock: sent {ahead} ms before, and ahead", at=fast, record=record, sent_at=rfc3339(fast - ahead))
    book.add("clock: sent 2001 ms before, and ahead", "timestamp_in_future", at=fast, record=record,
             sent_at=rfc3339(fast - 2001))  # fmt: skip
    book.add("clock: sent in 1970", at=record - MINUTE, record=record, sent_at=0)
    book.add("clock: sent by a float", record=record, timestamp=record - 5000.9, sent_at=record - 3000.2)
    book.add("clock: two notations", record=record, timestamp=record - HOUR, sent_at=rfc3339(record - HOUR + SECOND))
    before = "before_first_partition"
    book.add("clock: months on the device", before, at=record - year, record=record, sent_at=rfc3339(record))
    book.add("clock: sent in 9999", before, at=record - SECOND, record=record, sent_at="9999-12-31T23:59:59Z")
    book.add("clock: sent at 1e300", before, at=record - SECOND, record=record, sent_at=1e300)
    book.add("clock: stamped -1e300", before, timestamp=-1e300, record=record, sent_at=rfc3339(record))
    # Two devices of one user, one an hour slow: the order is that of the corrected times
    for number, (offset, slow) in enumerate(((0, HOUR), (20 * SECOND, 0), (50 * SECOND, HOUR))):
        moment = record + 2 * MINUTE + offset
        book.add(f"clock: two devices {number}", at=moment - slow - 400, record=moment, user_id="two devices",
                 sent_at=rfc3339(moment - slow), url=f"{SITE}/clock/{number}")  # fmt: skip


def late_and_out_of_order(book: Book) -> None:
    for number, lateness in enumerate((3 * MINUTE, HOUR, 5 * HOUR, 26 * HOUR, 20 * DAY)):
        record = book.now - (number + 1) * SECOND
        for step in range(3):
            book.add(f"late: {number}.{step}", at=record - lateness + step * 11 * SECOND, record=record,
                     user_id=f"late {number}", url=f"{SITE}/late/{step}")  # fmt: skip
    # Three weeks late, in the first minutes of an hour, for a visit that was on time in the hour before
    hour = book.first_ms + 30 * HOUR
    book.add("late: on time, weeks ago", at=hour - MINUTE, user_id="late visit", url=f"{SITE}/late/0")
    book.add("late: what followed", at=hour + 30 * SECOND, record=book.now - SECOND, user_id="late visit")
    book.add("late: a sign of life, too late to matter", at=hour + 60 * SECOND, record=book.now, event_type="scroll",
             user_id="late visit")  # fmt: skip
    # Record times that go back, as several producers' do
    for number in range(40):
        at = book.hour(14) + (number * 37 % 40) * 4 * MINUTE
        book.add(f"order: {number}", at=at, user_id=f"order {number % 4}", url=f"{SITE}/order/{number % 5}")
    book.add("now: exactly", at=book.now, record=book.now)
    book.add("now: oldest record there is", at=book.now - SPAN_MS, record=book.now - SPAN_MS)
