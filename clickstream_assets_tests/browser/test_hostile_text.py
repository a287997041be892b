"""What producers send makes no link, no picture and no script on Dagster's own pages, read in a real browser."""

import json
import subprocess
import sys
import time
import urllib.request

import dagster as dg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clickstream_assets.local.stack.ports import free_port
from clickstream_assets.local.stack.processes import die_with_parent
from clickstream_assets_tests.browser import chromium, hostile_location
from clickstream_assets_tests.dagster_dev import kill_with_children
from clickstream_assets_tests.events.test_shown_text import HOSTILE, hostile

LOADED_MS = 60_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv(hostile_location.TEXTS, str(home / "texts.json"))
        yield home


@pytest.fixture(scope="module")
def url(home):
    port = free_port(set())
    command = [sys.executable, "-m", "dagster_webserver", "-m", hostile_location.__name__, "-p", str(port)]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=die_with_parent())
    try:
        deadline = time.monotonic() + 120
        while not _is_up(f"http://localhost:{port}/server_info"):
            assert server.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(1)
        yield f"http://localhost:{port}"
    finally:
        kill_with_children(server.pid)


def _is_up(address):
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def page():
    with chromium.page(1600, 2400) as opened:
        opened.set_default_timeout(LOADED_MS)
        opened.reached = []
        opened.on("request", lambda request: opened.reached.append(request.url))
        opened.on("dialog", lambda dialog: opened.reached.append(f"dialog: {dialog.message}"))
        yield opened


def look(page, url, path, shown):
    """Open a page, wait until it shows something, and look at all that is active on it."""
    page.goto(url + path, wait_until="domcontentloaded")
    page.get_by_text(shown).first.wait_for()
    assert_harmless(page, url)


def assert_harmless(page, url):
    time.sleep(1)
    links = page.eval_on_selector_all("a[href]", "all => all.map(link => link.href)")
    ours = (
        f"{url}/",
        hostile_location.DOCUMENTS,
        "https://docs.dagster.io",
        "https://dagster.io",
        "https://github.com/dagster",
    )
    assert [link for link in links if not link.startswith(ours)] == []
    images = page.eval_on_selector_all(
        "img, image, object, embed, iframe", "all => all.map(i => i.src || i.href || '?')"
    )
    assert [image for image in images if not image.startswith((f"{url}/", "data:image/svg+xml,"))] == []
    assert page.evaluate("window.hostile") is None
    assert [at for at in page.reached if not at.startswith((f"{url}/", url, "data:", "blob:", "about:"))] == []


# A failure takes a page to be loaded: it is not made smaller.
few = settings(
    deadline=None,
    max_examples=4,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@few
@given(st.permutations(HOSTILE), st.lists(hostile, min_size=9, max_size=9))
def test_no_page_of_dagsters_makes_anything_of_what_was_sent(home, url, page, listed, drawn):
    texts = [*listed, *drawn]
    (home / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    with dg.DagsterInstance.get() as instance:
        result = dg.materialize([hostile_location.es_index], instance=instance, raise_on_error=True)
    look(page, url, "/assets/es_index?view=events", "top_urls")
    widths = page.eval_on_selector_all("img[src^='data:image/svg+xml']", "all => all.map(one => one.naturalWidth)")
    assert len(widths) == 2, "our own pictures are there"
    assert min(widths) > 100, "and whole"
    assert page.locator("td", has_text="https://evil.example/a?b=c").count(), "the table is shown, its urls as they are"
    look(page, url, "/assets/es_index?view=checks&checkDetail=within_bounds", "within_bounds")
    look(page, url, "/assets/es_index?view=overview", "top_urls")
    look(page, url, f"/runs/{result.run_id}", "es_index")
