"""Messages that are no JSON object, or hardly one; and big ones."""

import hashlib
import json

from clickstream_assets_tests.hard_cases.book import HOUR, MEBIBYTE, SECOND, SITE, STORED, Book


def broken_messages(book: Book) -> None:
    good = json.dumps(book.event("broken", book.now - 10 * HOUR, title="Fjäll"), ensure_ascii=False)
    body = good.encode()
    for name, value in {
        "latin-1": good.encode("latin-1"),
        "cut in a character": body[: body.index("ä".encode()) + 1],
        "stray continuation": body + b"\x80",
        "overlong slash": body.replace("ä".encode(), b"\xc0\xaf"),
        "surrogate in bytes": body.replace("ä".encode(), b"\xed\xa0\x80"),
        "beyond U+10FFFF": body.replace("ä".encode(), b"\xf4\x90\x80\x80"),
        "utf-16 with its mark": good.encode("utf-16"),
        "gzip": b"\x1f\x8b\x08\x00" + body,
        "only 0xff": b"\xff",
    }.items():
        book.raw(f"encoding: {name}", "invalid_encoding", value)
    for name, value in {
        "empty message": b"",
        "only white space": b" \t\n ",
        "byte order mark": b"\xef\xbb\xbf" + body,
        "utf-16 without a mark": json.dumps({"a": 1}).encode("utf-16-le"),
        "truncated": body[:-1],
        "two objects": body + body,
        "two objects on two lines": body + b"\n" + body,
        "trailing comma": body[:-1] + b",}",
        "trailing nul": body + b"\0",
        "trailing semicolon": body + b";",
        "single quotes": good.replace('"', "'").encode(),
        "unquoted key": body.replace(b'"title"', b"title"),
        "comment": b"/* hello */" + body,
        "not JSON": b"hello",
        "python literals": b"None",
        "upper-case literal": body[:-1] + b',"x":True}',
        "lone brace": b"{",
    }.items():
        book.raw(f"json: {name}", "invalid_json", value)
    for number in (
        "NaN", "-NaN", "Infinity", "-Infinity", "1e400", "-1E+400", "1.8e308", "1e999999999", "01", "-01", "+1", "1.",
        ".5", "1e", "0x10", "1_000", "--1", "-",
        "1" + "0" * 5000,
    ):  # fmt: skip
        book.text(f"json: number {number[:12]}", "invalid_json", ('"?"', number), x="?")
    book.text("json: NaN where no one looks", "invalid_json", ('"?"', '[{"deep":[NaN]}]'), x="?")
    for name, text in {
        "lone high surrogate": r'"\ud800"',
        "lone low surrogate": r'"\udc00 x"',
        "surrogates reversed": r'"\udc00\ud800"',
        "high twice": r'"\ud83d\ud83d\ude00"',
        "upper-case surrogate": r'"\uD83D"',
        "surrogate in a key": r'{"\udfff":1}',
        "raw line feed in a string": '"a\nb"',
        "raw tab in a string": '"a\tb"',
        "raw nul in a string": '"a\0b"',
        "bad escape": r'"\x41"',
        "short unicode escape": r'"\u12"',
        "unclosed string": '"abc',
    }.items():
        book.text(f"json: {name}", "invalid_json", ('"?"', text), x="?")
    book.text("json: surrogate in the user", "invalid_json", ('"?"', r'"\ud800"'), user_id="?")
    book.text("json: surrogate in the id", "invalid_json", ('"?"', r'"\udbff"'), event_id="?")
    for name, value in {
        "array": b"[" + body + b"]",
        "empty array": b"[]",
        "string": b'"hello"',
        "string of an object": json.dumps(good).encode(),
        "number": b"12",
        "negative float": b" -1.5e3 ",
        "true": b"true",
        "false": b"false",
        "null": b"null",
    }.items():
        book.raw(f"object: {name}", "not_an_object", value)
    for number in range(3):
        book.raw(f"object: tombstone {number}", "not_an_object", None)
    # Allowed, strict as JSON is
    book.text("json ok: escaped pair", STORED, ('"?"', r'"\ud83d\ude00"'), x="?")
    book.text("json ok: white space around", STORED, ("{", " \r\n\t{ "))
    book.text("json ok: tiny number", STORED, ('"?"', "1e-400"), x="?")
    book.text("json ok: biggest double", STORED, ('"?"', "1.7976931348623157e308"), x="?")
    book.text("json ok: minus zero", STORED, ('"?"', "[-0, -0.0, 0e9]"), x="?")
    book.text("json ok: solidus escaped", STORED, ("https://", r"https:\/\/"))
    book.text("json ok: name escaped", STORED, ('"url"', r'"\u0075rl"'))
    book.text("json ok: duplicate key unread", STORED, ('"?"', '1, "x": 2'), x="?")
    book.text("json ok: duplicate url, the last counts", STORED, ('"?"', f'"ftp://no", "url": "{SITE}/last"'), url="?")
    book.text("json ok: delete character", STORED, ('"?"', '"a\x7fb"'), x="?")


def big_messages(book: Book) -> None:
    def padded(name: str, size: int, filler: str = "x") -> bytes:
        event = book.event(f"big: {name}", book.now - 2 * HOUR, url=f"{SITE}/big", pad="")
        space = size - len(json.dumps(event))
        event["pad"] = filler * (space // len(filler)) + "y" * (space % len(filler))
        body = json.dumps(event, ensure_ascii=False).encode()
        assert len(body) == size
        return body

    record = book.now - 2 * HOUR + SECOND
    for number in range(4):  # several, one after another: more than a Thrift frame of 2 MB takes
        book.raw(f"big: 1 MiB {number}", STORED, padded(f"1 MiB {number}", MEBIBYTE), record=record + number)
    book.raw("big: 1 MiB less a byte", STORED, padded("1 MiB less a byte", MEBIBYTE - 1), record=record)
    book.raw("big: 1 MiB and a byte", "too_large", padded("1 MiB and a byte", MEBIBYTE + 1), record=record)
    book.raw("big: 1.5 MB", "too_large", padded("1.5 MB", 1_500_000), record=record)
    noise = "".join(hashlib.blake2b(str(number).encode()).hexdigest() for number in range(27_000))
    book.raw(
        "big: 3.4 MB that don't compress",
        "too_large",
        padded("3.4 MB that don't compress", len(noise) + 500, noise),
        record=record,
    )
    few = "é" * 600_000  # 600,000 characters, but more than 1 MiB
    body = json.dumps(book.event("big: bytes count", record, pad=few), ensure_ascii=False).encode()
    book.raw("big: bytes count", "too_large", body, record=record)
    spaces = json.dumps(book.event("big: white space counts", record)).encode()
    book.raw("big: white space counts", "too_large", spaces + b" " * MEBIBYTE, record=record)
    book.add(
        "big: many small things", record=record, at=record, things=[[number, {"k": "v"}] for number in range(20_000)]
    )
