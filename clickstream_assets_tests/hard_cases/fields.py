"""Fields that are missing, of the wrong type or of odd text, and fields that nobody knows."""

from clickstream_assets_tests.hard_cases.book import DROP, MINUTE, SITE, Book


def fields(book: Book) -> None:  # noqa: C901 - a list of cases
    book.raw("missing: everything", "missing_field", b"{}")
    for field in ("timestamp", "url", "user_id"):
        for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
            book.add(f"missing: {field} {name}", "missing_field", **{field: value})
    book.add("missing: both users null", "missing_field", user_id=None, anonymous_id=None)
    book.add("missing: both users empty", "missing_field", user_id="", anonymous_id="")
    book.add("missing: names in upper case", "missing_field", url=DROP, URL=f"{SITE}/x")
    for field in ("event_id", "event_type", "sent_at", "engagement_time_ms", "ip", "user_agent", "referrer"):
        for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
            if field != "event_id":
                book.add(f"optional: {field} {name}", **{field: value})
    for name, value in {"absent": DROP, "null": None, "empty": ""}.items():
        book.add(f"without id: {name}", event_id=value)
    at = book.hour(9) + 7 * MINUTE
    for number in range(3):  # the same bytes, the same record time: three events all the same
        book.add(f"without id: same again {number}", at=at, event_id=DROP, url=f"{SITE}/no-id", user_id="no id")

    wrong: dict[str, object] = {"true": True, "false": False, "array": ["x"], "object": {"x": 1}}
    for field in ("timestamp", "sent_at"):
        for name, value in wrong.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for field in ("user_id", "anonymous_id"):
        numbers: dict[str, object] = {"float": 1.0, "2^63": 1 << 63, "-2^63-1": -(1 << 63) - 1, "2^64": 1 << 64}
        for name, value in {**wrong, **numbers, "1e30": 10**30}.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for field in ("url", "event_id", "event_type", "ip", "user_agent", "referrer"):
        for name, value in {**wrong, "number": 7, "float": 1.5, "float zero": 0.0}.items():
            book.add(f"type: {field} {name}", "wrong_type", **{field: value})
    for name, value in {**wrong, "string": "12", "negative": -1, "a bit negative": -0.001, "-inf-ish": -1e308}.items():
        book.add(f"type: engagement {name}", "wrong_type", engagement_time_ms=value)
    book.add("long: id", "too_long", event_id="x" * 129)
    book.add("long: id, in characters", "too_long", event_id="é" * 129)
    book.add("type: anonymous bad beside a good user", "wrong_type", anonymous_id=1.5)

    book.add("id: 128 characters", event_id="y" * 128)
    book.add("id: 128 characters of four bytes", event_id="😀" * 128)
    book.add("id: white space is none", event_id=" \t")
    book.add("id: with separators", event_id="a|b/c:d\x01e\nf\u2028g")
    book.add("id: looks like a number", event_id="00")
    book.add("id: the word for none is none", event_id="null")
    book.add("id: the number for none is none", event_id=0)
    book.add("id: composed", event_id="caf\u00e9")
    book.add("id: decomposed is another", event_id="cafe\u0301")
    book.add("id: case counts, lower", at=book.hour(8) + MINUTE, event_id="case")
    book.add("id: case counts, upper", at=book.hour(8) + MINUTE, event_id="CASE")
    book.add("id: trailing space counts", at=book.hour(8) + MINUTE, event_id="case ")


def text_and_extras(book: Book) -> None:
    for field in ("user_id", "anonymous_id", "event_id", "event_type", "ip", "user_agent", "referrer"):
        for name, value in {"alone": "\0", "inside": "a\0b", "at the end": "x\0"}.items():
            book.add(f"nul: {field} {name}", "invalid_text", **{field: value})
    book.add("nul: ok in an extra property", x="a\0b")
    book.add("nul: ok in an extra name", **{"a\0b": 1})
    book.add("text: control characters", user_id="a\x01\x1f\x7fb", referrer="\x08", event_type="\x1b[31m")
    book.add("text: right to left", user_id="مستخدم", url=f"{SITE}/سلام", referrer="https://دوکان.example/")
    book.add("text: emoji", user_id="👩‍👩‍👧‍👦", event_type="page_view", url=f"{SITE}/👍🏽?q=🎒")
    book.add("text: last of Unicode", user_id="\U0010ffff\uffff\ufffe", x="\ufeff")
    book.add("text: an event type of another case", event_type="Page_View")
    book.add("text: an event type with a space", event_type="click ")
    book.add("long: an event type of 128 characters", event_type="é" * 128)
    book.add("long: an event type", "too_long", event_type="t" * 129)
    for field in ("user_id", "anonymous_id"):
        book.add(f"long: {field} of 512 bytes", **{field: "é" * 256})
        book.add(f"long: {field} of 513 bytes", "too_long", **{field: "é" * 256 + "u"})
    book.add("text: a referrer that is no url", referrer="not a url at all")
    book.add("text: a referrer of 20 kB", referrer="https://r.example/" + "r" * 20_000)
    nested: object = "bottom"
    for _ in range(50):
        nested = {"n": [nested]}
    extras: dict[str, dict[str, object]] = {
        "nested": {"deep": nested},
        "numbers": {"big": 10**300, "negative": -(10**40), "u64": (1 << 64) - 1, "i64": -(1 << 63), "f": 1e-320},
        "beyond 2^53": {"exact": 9007199254740993, "float": 0.1},
        "odd names": {"": 1, " ": 2, "a.b": 3, "a:b": 4, "é": 5, "__proto__": 6, "click_data:url": "x"},
        "names of ours": {"properties": {"x": 1}, "hour": 5, "country": "XX", "row_key": "x", "bot": True},
        "many": {f"p{number}": number for number in range(2000)},
        "null and empty": {"a": None, "b": "", "c": [], "d": {}},
        "context that is a string": {"context": "web"},
        "context that is a list": {"context": [1, 2]},
        "page that is null": {"context": {"page": None, "ip": None}},
    }
    for name, fields in extras.items():
        book.add(f"extra: {name}", **fields)
