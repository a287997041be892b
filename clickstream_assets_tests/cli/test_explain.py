"""What ``clickstream explain`` accepts, says at once, prints, and takes from Dagster's records."""

import json
import socket
from contextlib import nullcontext

import dagster as dg
import pytest
from click.testing import CliRunner

from clickstream_assets.books.table_schemas import CLICKS
from clickstream_assets.cli import explain as command
from clickstream_assets.cli.consoles import as_is
from clickstream_assets.cli.explain import failed_checks, find_instance, runs
from clickstream_assets.cli.main import main
from clickstream_assets.events.hours import hour_of_key
from clickstream_assets.evidence.explanation import Explanation
from clickstream_assets.evidence.page_events import SOURCES, Subject, to_event, views
from clickstream_assets.settings import Settings

HOUR = "2026-01-31-12:00"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["noon", "https://a.example/", "DE"], "'noon' is no hour"),
        ([HOUR, "/relative", "DE"], "not an absolute http or https url"),
        ([HOUR, "https://a.example/a b", "DE"], "white space"),
        ([HOUR, "https://a.example/", "Germany"], "alpha-2"),
        ([HOUR, "https://a.example/", "D1"], "alpha-2"),
        ([HOUR, "https://a.example/", "DE", "--limit", "-1"], "--limit"),
        ([HOUR, "https://a.example/"], "COUNTRY"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments, complaint):
    result = CliRunner().invoke(main, ["explain", *arguments])
    assert result.exit_code == 2
    assert complaint in result.output


def test_arguments_are_read_as_the_contract_writes_them(monkeypatch):
    asked = []

    def explained(_, *target):
        asked.append(target)
        raise SystemExit(0)

    monkeypatch.setattr(command, "_explained", explained)
    url = "HTTPS://Shop.Example:443?utm_source=mail&size=42#top"
    for hour in (HOUR, "2026-01-31T12:00", "2026-01-31T13:00+01:00"):
        CliRunner().invoke(main, ["explain", hour, url, "de"], catch_exceptions=False)
    assert asked == [(1_769_860_800 // 3600, "https://shop.example/?size=42", "DE")] * 3


def test_a_server_that_is_not_there_is_one_sentence_with_a_remedy(monkeypatch):
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))  # and does not listen
        port = opened.getsockname()[1]
        monkeypatch.setattr(command, "settings", lambda: Settings(hbase_host="127.0.0.1", hbase_port=port))
        result = CliRunner().invoke(main, ["explain", HOUR, "https://a.example/", "DE"])
    assert result.exit_code == 2
    assert f"HBase does not answer (127.0.0.1:{port}" in result.output
    assert "clickstream doctor" in result.output


@pytest.fixture
def explain(monkeypatch):
    """Runs the command on an explanation that is there already; returns its exit code and what it prints."""

    def run(explanation, *options, instance=None):
        monkeypatch.setattr(command, "_explained", lambda *_: explanation)
        monkeypatch.setattr(command, "find_instance", lambda _: instance and nullcontext(instance))
        result = CliRunner().invoke(main, ["explain", HOUR, "https://a.example/", "DE", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, json.loads(result.output) if "--json" in options else result.output

    return run


def explanation(**fields):
    """Two views of a user and a bot's, which one range brought."""
    target = Subject(hour_of_key(HOUR), "https://a.example/", "DE")
    plain = {"url": target.url, "country": "DE", "event_type": "page_view", "user_id": "a[b]da", "bot": "false"}
    events = [
        {"timestamp": 0, "source": "id/3/70"},
        {"timestamp": 20, "source": "id/3/71"},
        {"timestamp": 30, "user_id": "x", "bot": "true"},
    ]
    rows = [plain | event | {"timestamp": 1_769_860_800_000 + event["timestamp"]} for event in events]
    listed = [
        to_event(bytes([at]), {CLICKS.columns[name].key: str(value).encode() for name, value in row.items()})
        for at, row in enumerate(rows)
    ]
    return Explanation(
        HOUR,
        target.url,
        "DE",
        target.document_id,
        events=views(listed, target),
        ranges=[{"topic_id": "id", "partition": 3, "first": 60, "end": 80, "read": 15, "run_id": "r1", "events": 1}],
        runs=[{"run_id": "r1", "did": "read its events", "status": None}],
        **fields,
    )


def test_people_are_shown_what_json_holds(explain):
    values = {
        name: dict(zip(SOURCES, of_sources, strict=True)) | {"same": False}
        for name, of_sources in (("clicks", (3, 2, 2, 2)), ("users_sketch", (None, 1, 1, None)))
    }
    differing = explanation(values=values, remarks=["differs: clicks"], verdict="Not the same everywhere.")
    code, said = explain(differing, "--json")
    assert code == 1
    assert said["values"]["clicks"] == {
        "document": 3, "metrics_row": 2, "recomputed": 2, "from_events": 2, "same": False
    }  # fmt: skip
    assert [event["ended_by"] for event in said["events"]] == ["next_click", "unknown", None]
    assert said["events"][0]["kafka"] == {"topic_id": "id", "partition": 3, "offset": 70}
    assert said["events"][0]["end"]["row_key"] == "01"
    code, shown = explain(differing)
    lines = [line.split() for line in shown.splitlines()]
    assert code == 1
    assert ["verdict", "Not", "the", "same", "everywhere."] in lines
    assert ["clicks", "3", "2", "2", "2", "no"] in lines
    assert ["users_sketch", "-", "1", "1", "-", "no"] in lines
    assert ["differs:", "clicks"] in lines
    first, second, bots = (" ".join(line) for line in lines if line[-1:] in (["00"], ["01"], ["02"]))
    assert first == "2026-01-31T12:00:00.000Z user_id:a[b]da page_view 20 next_click id/3/71 page_view - id/3/70 00"
    assert second == "2026-01-31T12:00:00.020Z user_id:a[b]da page_view - unknown - - - id/3/71 01"
    assert bots == "2026-01-31T12:00:00.030Z user_id:x page_view - - - - bot - 02"
    assert ["id", "3", "60", "80", "15", "r1", "1"] in lines
    assert ["r1", "read", "its", "events"] in lines


def test_the_limit_is_of_events_and_ranges_and_says_how_many_more_there_are(explain):
    code, said = explain(explanation(same=True), "--json", "--limit", "1")
    assert (code, len(said["events"]), said["events_not_shown"], said["ranges_not_shown"]) == (0, 1, 2, 0)
    _, shown = explain(explanation(same=True), "--limit", "1")
    assert "events: 3" in shown
    assert "2 more events are not shown: --limit 0 shows all." in shown
    assert "ranges are not shown" not in shown
    assert "not shown" not in explain(explanation(same=True), "--limit", "0")[1]


@pytest.mark.slow
def test_where_dagster_is_not_found_its_records_are_unknown_and_not_empty(explain):
    assert explain(explanation(), "--json")[1]["failed_checks"] is None
    assert "Dagster's records were not found: set DAGSTER_HOME" in explain(explanation())[1]
    with dg.DagsterInstance.ephemeral() as instance:
        assert explain(explanation(), "--json", instance=instance)[1]["failed_checks"] == []
        report(instance, "raw_clicks", "books_balance", HOUR, False, "2 [red]too many[/]")
        _, shown = explain(explanation(), instance=instance)
    assert "Dagster's records" not in shown
    assert "raw_clicks  books_balance  2 [red]too many[/]" in shown


def test_stored_text_can_neither_steer_the_terminal_nor_pass_for_markup():
    shown = as_is("a\x1b[31mb\n[red]c[/] é 👍").plain
    assert shown == "a\\x1b[31mb\\n[red]c[/] é 👍"


def report(instance, asset, check, partition, passed, words=""):
    """An evaluation by a run of its own, as checks over many hours report theirs."""
    evaluation = dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset), check_name=check, passed=passed, description=words, partition=partition
    )

    @dg.op
    def look(context):
        context.log_event(evaluation)

    @dg.job
    def checks():
        look()

    assert checks.execute_in_process(instance=instance).success


@pytest.mark.slow
def test_only_the_last_evaluation_of_the_hour_itself_counts_as_failed():
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "raw_clicks", "books_balance", HOUR, False, "healed since")
        report(instance, "raw_clicks", "books_balance", HOUR, True)
        report(instance, "es_index", "documents_match", "2026-01-31-13:00", False, "another hour")
        report(instance, "enriched_clicks", "every_row_enriched", HOUR, True)
        report(instance, "enriched_clicks", "every_row_enriched", HOUR, False, "3 of 4 rows")
        found = failed_checks(instance, HOUR)
    assert found == [{"asset": "enriched_clicks", "check": "every_row_enriched", "words": "3 of 4 rows"}]


def test_a_run_that_dagster_has_forgotten_is_left_out():
    @dg.op
    def work():
        pass

    @dg.job
    def some():
        work()

    with dg.DagsterInstance.ephemeral() as instance:
        run_id = some.execute_in_process(instance=instance, tags={"clickstream/why": "new offsets"}).run_id
        found = runs(instance, [run_id, "gone"])
        assert runs(instance, []) == {}
    assert list(found) == [run_id]
    assert (found[run_id]["status"], found[run_id]["why"]) == ("SUCCESS", "new offsets")
    assert found[run_id]["started"] > "2023-11-14T22:13:20Z"


def test_without_a_dagster_home_there_are_no_records(monkeypatch, tmp_path):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert find_instance(Settings(home=tmp_path)) is None


@pytest.mark.slow
def test_the_records_of_clickstream_run_are_found_by_its_folder(monkeypatch, tmp_path):
    from clickstream_assets.local.dagster_processes import dagster_home

    monkeypatch.setenv("DAGSTER_HOME", "")
    home = dagster_home(Settings(home=tmp_path))
    with find_instance(Settings(home=tmp_path)) as instance:
        assert instance.root_directory == str(home)
        assert failed_checks(instance, HOUR) == []
