"""Users: who is who, and who is nobody."""

from clickstream_assets_tests.hard_cases.book import DROP, MINUTE, SECOND, SITE, Book


def users(book: Book) -> None:
    at, page = book.hour(4) + 10 * MINUTE, f"{SITE}/users"
    people: list[dict[str, object]] = [
        {"user_id": "same"},
        {"user_id": DROP, "anonymous_id": "same"},  # another one
        {"user_id": "same", "anonymous_id": "other"},  # the first again
        {"user_id": "", "anonymous_id": "same"},  # the second again
        {"user_id": None, "anonymous_id": "same"},
        {"user_id": 42},
        {"user_id": "42"},  # an integer is its digits
        {"user_id": DROP, "anonymous_id": 42},
        {"user_id": "\u2003false ", "anonymous_id": "same"},  # the second again
        {"user_id": "[object Object]", "anonymous_id": "same"},
        {"user_id": 0, "anonymous_id": 7},
        {"user_id": -1},
        {"user_id": "00"},
        {"user_id": "nobody"},
        {"user_id": (1 << 63) - 1},
        {"user_id": -(1 << 63)},
        {"user_id": str((1 << 63) - 1)},
        {"user_id": DROP, "anonymous_id": (1 << 63) - 1},
        {"user_id": "042"},  # no integer, so not 42
        {"user_id": "Same"},
        {"user_id": "same "},
        {"user_id": "user_id:same"},
        {"user_id": "anonymous_id:same"},
        {"user_id": "u|same"},
        {"user_id": "a|same"},
        {"user_id": "caf\u00e9"},
        {"user_id": "cafe\u0301"},
    ]
    for number, fields in enumerate(people):
        book.add(f"users: {number}", at=at + number * 7 * SECOND, url=page, **fields)
    for number in range(300):  # enough for a sketch to have something to do
        book.add(f"users: crowd {number}", at=at + number * 100, url=f"{SITE}/crowd", user_id=1 + number % 150)
    nobody: tuple[object, ...] = (0, " ", "null", "None", " NaN\n", "undefined", "0", "Anonymous", "distinct_id")
    for number, value in enumerate(nobody):
        book.add(f"users: nobody {number}", "missing_field", user_id=value, anonymous_id="" if number % 2 else value)
    book.add("users: nobody by a boolean", "wrong_type", user_id=True, anonymous_id="somebody")
