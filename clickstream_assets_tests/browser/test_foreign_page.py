"""What a page that is not Dagster's can do to Dagster in a real browser, while Dagster's own pages work."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import quote, urlsplit

import pytest

from clickstream_assets_tests.browser import chromium
from clickstream_assets_tests.webserver.served import WIPE, served

TRY_ALL = """async ([url, query, link]) => {
  const body = JSON.stringify({query});
  const asked = async (path, options) => {
    try { const answer = await fetch(url + path, options); return answer.type + " " + answer.status; }
    catch (error) { return "refused"; }
  };
  const socket = await new Promise(done => {
    const one = new WebSocket(url.replace("http", "ws") + "/graphql", "graphql-ws");
    one.onopen = () => done("open");
    one.onerror = () => done("refused");
  });
  const frame = document.createElement("iframe");
  frame.src = url + "/assets/kept";
  document.body.append(frame);
  await new Promise(done => { frame.onload = done; });
  return {
    link: await asked(link, {mode: "no-cors"}),
    form: await asked("/graphql", {mode: "no-cors", method: "POST", body, headers: {"Content-Type": "text/plain"}}),
    parameters: await asked(link, {mode: "no-cors", method: "POST"}),
    json: await asked("/graphql", {method: "POST", body, headers: {"Content-Type": "application/json"}}),
    socket,
  };
}"""
WIPED = """async query => {
  const answer = await fetch("/graphql", {
    method: "POST", body: JSON.stringify({query}), headers: {"Content-Type": "application/json"}
  });
  return await answer.json();
}"""


@pytest.fixture
def dagster(tmp_path):
    with served(tmp_path) as running:
        yield running


@contextmanager
def foreign_server() -> Iterator[int]:
    """An empty page on each path; its port."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<body></body>")

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Empty) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_foreign_page_changes_nothing_and_dagsters_own_does(dagster):
    with foreign_server() as port, chromium.page(1360, 800) as page:
        for host in ("127.0.0.1", "localhost"):  # the same site by browsers' rules, and another one
            page.goto(f"http://{host}:{port}/")
            came_of_it = page.evaluate(TRY_ALL, [dagster.url, WIPE, f"/graphql?query={quote(WIPE)}"])
            # A page may send these, and is told nothing of the answer
            assert {came_of_it[way] for way in ("link", "form", "parameters")} == {"opaque 0"}
            assert (came_of_it["json"], came_of_it["socket"]) == ("refused", "refused")
            assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"]
        assert dagster.untouched()

        page.goto(f"{dagster.url}/assets/kept")
        page.get_by_text("Materialized", exact=False).first.wait_for()
        with page.expect_websocket(lambda socket: socket.url.endswith("/graphql")) as opened:
            page.goto(f"{dagster.url}/runs")
        assert urlsplit(opened.value.url).port == urlsplit(dagster.url).port
        assert not opened.value.is_closed()
        answer = page.evaluate(WIPED, WIPE)
        assert answer["data"]["wipeAssets"]["__typename"] == "AssetWipeSuccess", json.dumps(answer)
        assert not dagster.untouched()
