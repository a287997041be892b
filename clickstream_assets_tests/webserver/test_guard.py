"""What the guard lets through, without a server: requests as browsers, programs and probes send them."""

import asyncio

import pytest

from clickstream_assets.webserver.guard import Guard

HOSTS = {"localhost", "127.0.0.1", "[::1]", "dagster.example.com"}
ADDRESS = "https://dagster.example.com"
JSON = {"content-type": "application/json"}


async def answered(scope, receive, send):
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


def ask(method="GET", path="/", query="", kind="http", **headers):
    """The messages that come back."""
    given = {"host": "localhost:3000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in given.items() if value is not None],
        "extensions": {"websocket.http.response": {}},
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(answered, HOSTS, ADDRESS)(scope, None, send))
    return sent


def status(*args, **kwargs):
    return ask(*args, **kwargs)[0]["status"]


def post(path="/graphql", **headers):
    return status("POST", path, **{"content_type": "application/json", **headers})


def is_accepted(**headers):
    (message, *_) = ask(kind="websocket", path="/graphql", **headers)
    return message["type"] == "websocket.accept"


@pytest.mark.parametrize("host", ["localhost", "localhost:3000", "LOCALHOST:8080", "127.0.0.1:3000", "[::1]:3000"])
def test_it_answers_by_the_names_that_it_has(host):
    assert status(host=host) == 200
    assert post(host=host) == 200
    assert is_accepted(host=host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:3000",
        "localhost.evil.example",
        "evil-localhost",
        "dagster.example.com.",
        "10.0.0.7:3000",
        "a@localhost",
        "",
        None,
    ],
)
def test_a_foreign_name_that_leads_here_is_refused(host):
    foreign = {"host": host, "origin": f"http://{host}", "sec_fetch_site": "same-origin"}  # as a rebound name has it
    assert status(**foreign) == 400
    assert post(**foreign) >= 400
    assert not is_accepted(**foreign)


def test_its_own_pages_and_programs_may_change_things():
    assert post() == 200  # curl
    assert post(origin="http://localhost:3000", sec_fetch_site="same-origin") == 200
    assert post(origin="http://localhost:3000") == 200  # browsers say no more over plain http to a name
    assert post(sec_fetch_site="none") == 200
    assert post(content_type="application/json; charset=utf-8") == 200
    assert is_accepted()
    assert is_accepted(origin="http://localhost:3000", sec_fetch_site="same-origin")


FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "http://localhost:3001"},
    {"origin": "http://localhost"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:3000.evil.example"},
    {"origin": "http://localhost:3000@evil.example"},
    {"origin": "http://localhost:3000, http://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"origin": "http://localhost:3000", "sec_fetch_site": "cross-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_may_change_nothing(headers):
    assert post(**headers) == 403
    assert post("/report_asset_materialization/raw_clicks", **headers) == 403
    for method in ("PUT", "PATCH", "DELETE", "anything"):
        assert status(method, "/graphql", **JSON, **headers) == 403
    assert not is_accepted(**headers)


@pytest.mark.parametrize("path", ["/graphql", "/report_asset_check/raw_clicks", "/report_asset_observation/raw_clicks"])
@pytest.mark.parametrize(
    "sent",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        None,
    ],
)
def test_what_a_form_can_send_is_refused(path, sent):
    assert post(path, content_type=sent) == 415


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "//graphql", "/prefix/graphql"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_graphql_is_not_asked_by_a_link(path, method):
    assert status(method, path, "query=mutation%7Bwipe%7D") == 405
    assert status(method, path, "query=%7Binstance%7Bid%7D%7D", accept="text/html") == 405
    assert status(method, path) == 405
    assert status(method, path, accept="text/html,application/xhtml+xml") == 200  # the page to type a query into


def test_pages_are_read_from_anywhere_but_shown_in_no_foreign_frame():
    foreign = {"origin": "http://evil.example", "sec_fetch_site": "cross-site"}
    (start, _) = ask(path="/assets/raw_clicks", query="view=checks", **foreign)  # a link in a chat
    assert start["status"] == 200
    assert (b"x-frame-options", b"SAMEORIGIN") in start["headers"]


def test_behind_a_proxy_its_pages_are_of_the_proxys_origin():
    for host in ("dagster.example.com", "localhost:3000"):  # the proxy hands the name on, or not
        assert post(host=host, origin="https://dagster.example.com", sec_fetch_site="same-origin") == 200
        assert is_accepted(host=host, origin="https://dagster.example.com")
        assert post(host=host, origin="https://other.example.com") == 403


def test_the_servers_own_life_is_none_of_its_business():
    seen = []

    async def application(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(Guard(application, HOSTS)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]
