"""Dagster's real webserver, started by our command and asked by foreign pages."""

import inspect
import json
import socket
from urllib.parse import quote, urlsplit

import click
import pytest
import uvicorn
from click.testing import CliRunner
from dagster_graphql.schema.roots.mutation import GrapheneMutation
from dagster_webserver import app, cli
from starlette.applications import Starlette
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from clickstream_assets.cli.main import main
from clickstream_assets.cli.through_dagster import is_dagster_up
from clickstream_assets.local.stack.ports import HOST
from clickstream_assets.settings import Settings
from clickstream_assets.webserver.dagsters import GuardedWebserver, guarded
from clickstream_assets_tests.webserver.served import LAUNCH, LAUNCH_SEVERAL, MODULE, WIPE, served

FOREIGN = {"Host": "evil.example", "Origin": "http://evil.example"}
COUNT = 'subscription { capturedLogs(logKey: ["none"]) { stdout } }'


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with served(tmp_path_factory.mktemp("webserver"), CLICKSTREAM_DAGSTER_HOSTS="dagster.lan,dagster") as running:
        yield running


def says(address, query, **options):
    """What the webserver says to a GraphQL operation over a WebSocket."""
    with connect(address.replace("http", "ws") + "/graphql", subprotocols=["graphql-ws"], **options) as connection:
        connection.send(json.dumps({"type": "connection_init"}))
        connection.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        assert json.loads(connection.recv(timeout=30))["type"] == "connection_ack"
        return json.loads(connection.recv(timeout=30))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", [WIPE, LAUNCH], ids=["wipe", "launch"])
def test_a_foreign_page_can_neither_wipe_assets_nor_launch_runs(ours, mutation):
    link = f"/graphql?query={quote(mutation)}"
    assert ours.ask(link).status == 405
    assert ours.ask(link, **FOREIGN).status == 405
    assert ours.ask(link, Accept="text/html").status == 405
    assert ours.ask(link, mutation, Content_Type="text/plain").status == 415
    assert ours.graphql(mutation, **FOREIGN).status == 400
    assert ours.graphql(mutation, Origin="http://evil.example").status == 403
    assert ours.graphql(mutation, Sec_Fetch_Site="cross-site").status == 403
    assert ours.graphql(mutation, Content_Type="text/plain; application/json").status == 415
    assert ours.untouched()


@pytest.mark.slow
def test_a_foreign_page_can_report_nothing(ours):
    path = "/report_asset_materialization/kept?description=ours"
    assert ours.ask(path, "{}", Content_Type="application/json", Origin="http://evil.example").status == 403
    assert ours.ask(path, "x", Content_Type="text/plain").status == 415
    assert ours.untouched()


@pytest.mark.slow
def test_a_foreign_page_has_no_socket(ours):
    for headers in ({"origin": "http://evil.example"}, {"additional_headers": {"Sec-Fetch-Site": "cross-site"}}):
        with pytest.raises(InvalidStatus, match="403"):
            says(ours.url, COUNT, **headers)
    rebound = socket.create_connection((HOST, urlsplit(ours.url).port))  # a foreign name that leads here
    with rebound, pytest.raises(InvalidStatus, match="400"):
        says("http://evil.example", COUNT, origin="http://evil.example", sock=rebound)


@pytest.mark.slow
def test_a_socket_changes_nothing_for_anybody(ours):
    assert says(ours.url, WIPE)["type"] == "error"
    assert ours.untouched()


@pytest.mark.slow
def test_its_own_pages_work(ours):
    assert ours.ask("/", Host="dagster.lan:3000").headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "GraphiQL" in ours.ask("/graphql", Accept="text/html").text
    assert ours.graphql("{ version }", Origin=ours.url, Sec_Fetch_Site="same-origin").status == 200
    assert says(ours.url, COUNT, origin=ours.url)["type"] == "data"


@pytest.mark.slow
def test_a_command_that_asks_by_another_name_is_told_so(ours):
    assert is_dagster_up(ours.url)
    with pytest.raises(click.ClickException, match="add it to CLICKSTREAM_DAGSTER_HOSTS"):  # not that it is away
        is_dagster_up(ours.url.replace("127.0.0.1", "127.1"))


@pytest.mark.slow
def test_whoever_looks_may_look_and_no_more(tmp_path):
    address = {"CLICKSTREAM_PAGE_DAGSTER_URL": "https://look.example.com"}
    with served(tmp_path, "--read-only", "--path-prefix", "/look", prefix="/look", **address) as looking:
        assert json.loads(looking.graphql("{ assetNodes { id } }").text)["data"]["assetNodes"]
        assert looking.graphql(WIPE).of("wipeAssets") == "UnauthorizedError"
        assert looking.graphql(LAUNCH).of("launchRun") == "UnauthorizedError"
        assert '[{"__typename":"UnauthorizedError"}]' in looking.graphql(LAUNCH_SEVERAL).text
        reported = looking.ask("/report_asset_materialization/kept", "{}", Content_Type="application/json")
        assert reported.status == 401
        assert looking.ask(f"/graphql?query={quote(WIPE)}").status == 405
        assert looking.untouched()
        runs = looking.graphql("{ runsOrError { ... on Runs { results { runId } } } }").text
        ((run_id,),) = (run.values() for run in json.loads(runs)["data"]["runsOrError"]["results"])
        shown = looking.ask(f"/runs/{run_id}", Host="look.example.com", Accept="text/html")
        assert (shown.status, 'id="root"' in shown.text) == (200, True)  # the page that asks for the run of its address
        asked = looking.graphql(f'{{ runOrError(runId: "{run_id}") {{ __typename }} }}', Host="look.example.com")
        assert asked.of("runOrError") == "Run"


def test_every_mutation_asks_whether_it_may():
    """Which one that only looks may not: so what Dagster adds is seen here."""
    unasked = {
        name
        for name, field in GrapheneMutation._meta.fields.items()
        if "Permissions." not in inspect.getsource(inspect.unwrap(field.resolver))
    }
    # The first asks for each of its runs (above); the others are of Dagster's own statistics and its greeting
    assert unasked == {"launchMultipleRuns", "logTelemetry", "setNuxSeen"}


@pytest.mark.slow
def test_who_may_wipe_can(tmp_path):
    """Else the tests above would pass where nobody can."""
    with served(tmp_path) as own:
        assert own.graphql(WIPE, Origin=own.url, Sec_Fetch_Site="same-origin").of("wipeAssets") == "AssetWipeSuccess"
        assert not own.untouched()


def test_every_option_of_dagsters_command_is_one_of_ours():
    ours, dagsters = (
        {option for parameter in command.get_params(click.Context(command)) for option in parameter.opts}
        for command in (main.commands["webserver"], cli.dagster_webserver)
    )
    assert ours == dagsters > {"--read-only", "--path-prefix", "-h", "-p", "-w"}


@pytest.fixture
def unserved(monkeypatch, tmp_path):
    """What ``uvicorn.run`` is given, which serves nothing here."""
    given = []
    monkeypatch.setattr(uvicorn, "run", lambda application, **options: given.append((application, options)))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return given


@pytest.mark.slow
def test_what_dagsters_command_serves_has_a_guard(unserved):
    done = CliRunner().invoke(main, ["webserver", "-h", "::1", "-m", MODULE], env={"DAGSTER_WEBSERVER_PORT": "3999"})
    assert done.exit_code == 0, done.output
    ((application, options),) = unserved
    assert application.user_middleware[0].cls.__name__ == "Guard"
    assert (options["host"], options["port"]) == ("::1", 3999)
    assert app.DagsterWebserver is not GuardedWebserver  # for this process is no webserver


@pytest.mark.slow
def test_a_dagster_that_makes_its_webserver_in_another_way_is_not_served(unserved, monkeypatch):
    monkeypatch.setattr(cli, "create_app_from_workspace_process_context", lambda *_, **__: Starlette())
    done = CliRunner().invoke(main, ["webserver", "-m", MODULE])
    assert done.exit_code == 1
    assert "would take changes from any web page" in done.output
    assert unserved == []


def test_a_dagster_without_that_name_is_not_served(monkeypatch):
    monkeypatch.delattr(app, "DagsterWebserver")
    with pytest.raises(click.ClickException, match="not started"), guarded():
        pass


def test_its_names_are_those_of_the_settings(monkeypatch):
    for name in ("DAGSTER_HOSTS", "DAGSTER_URL", "PAGE_DAGSTER_URL"):
        monkeypatch.delenv(f"CLICKSTREAM_{name}", raising=False)
    own = {"localhost", "127.0.0.1", "[::1]"}
    assert Settings().dagster_host_names == own
    configured = Settings(dagster_url="https://dagster.example.com:8443/x", dagster_hosts="webserver,dagster.lan")
    assert configured.dagster_host_names == {*own, "dagster.example.com", "webserver", "dagster.lan"}
    assert Settings(page_dagster_url="https://look.example.com").dagster_host_names == {*own, "look.example.com"}


@pytest.mark.parametrize("hosts", ["*", "*.example.com", "dagster.lan:3000", "http://dagster.lan", "a,,b", "a, b"])
def test_what_is_no_name_is_told(hosts):
    with pytest.raises(ValueError, match="dagster_hosts"):
        Settings(dagster_hosts=hosts)
