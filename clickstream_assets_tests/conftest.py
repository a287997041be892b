"""One set of embedded servers for all tests that need them, on free ports, in a folder of its own."""

import os
import time

import pytest

from clickstream_assets_tests.hard_cases import first_hour

NOW_MS = int(time.time() * 1000)
FIRST_HOUR = first_hour(NOW_MS)

# Before any module reads it: the hard cases have events from before the first partition.
os.environ["CLICKSTREAM_FIRST_HOUR"] = FIRST_HOUR.replace("T", "-") + ":00"
# No waiting for more to come.
os.environ["CLICKSTREAM_SMALL_RUN_SECONDS"] = "0"
os.environ["CLICKSTREAM_DAY_TURN_SECONDS"] = "0"


# Spark's session is made again wherever one is lost, so these two stay set as long as the servers run.
KEPT_FOR_ALL = ("CLICKSTREAM_SPARK_REMOTE", "CLICKSTREAM_SPARK_TOKEN_FILE")
STARTS_SERVERS = {"integration", "browser"}
STARTS_PROCESSES = {"cli", "k8s", "local", "orchestration", "security", "webserver"}


def pytest_collection_modifyitems(items):
    """Tests on servers are slow ones: ``make test-fast`` leaves them out. The others may run beside them."""
    for item in items:
        parts, on_servers = set(item.path.parts), "servers" in item.fixturenames
        if on_servers or STARTS_SERVERS & parts:
            item.add_marker(pytest.mark.slow)
        if on_servers or (STARTS_SERVERS | STARTS_PROCESSES) & parts:
            item.add_marker(pytest.mark.starts)


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """Settings that point at running Kafka, HBase, Elasticsearch and Spark."""
    from pyspark.sql import SparkSession

    from clickstream_assets.local.stack.steps import TerminalSteps
    from clickstream_assets.local.stack.supervisor import Stack
    from clickstream_assets.settings import Settings, settings

    ports = {f"stack_{name}_port": 0 for name in ("kafka", "hbase", "elasticsearch", "spark")}
    own = Settings(home=tmp_path_factory.mktemp("stack"), **ports)
    with Stack(own, TerminalSteps()) as stack, pytest.MonkeyPatch.context() as for_all:
        for name in KEPT_FOR_ALL:
            for_all.setenv(name, stack.environment()[name])
        with pytest.MonkeyPatch.context() as patch:  # only while they are read: other tests have settings of their own
            for name, value in stack.environment().items():
                patch.setenv(name, value)
            settings.cache_clear()
            configured = settings()
        yield configured
        if (session := SparkSession.getActiveSession()) is not None:
            session.stop()
    settings.cache_clear()


@pytest.fixture(autouse=True)
def no_address_of_those_servers(request, monkeypatch):
    """A test without servers reads what is set for it alone, also where tests on servers ran before it."""
    if "servers" not in request.fixturenames:
        for name in KEPT_FOR_ALL:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def refuse(monkeypatch):
    """Makes ingestion refuse messages that hold a word."""

    from clickstream_assets.events.click_event import decode
    from clickstream_assets.events.refusals import Refused
    from clickstream_assets.ingest import outcomes

    def refuse_those_with(word):
        def stricter(message, *rules):
            if word in message:
                raise Refused("invalid_url", "url: stricter now")
            return decode(message, *rules)

        monkeypatch.setattr(outcomes, "decode", stricter)

    return refuse_those_with
