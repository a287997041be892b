"""What ``clickstream explain`` accepts, says at once, prints, and takes from Dagster's records."""

import socket

import dagster as dg
import pytest
from click.testing import CliRunner

from clickstream_assets.cli import main
from clickstream_assets.commands import explain as command
from clickstream_assets.commands.consoles import as_is
from clickstream_assets.commands.run_records import FailedCheck, failed_checks, find_instance, runs
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


def test_only_the_last_evaluation_of_the_hour_itself_counts_as_failed():
    with dg.DagsterInstance.ephemeral() as instance:
        report(instance, "raw_clicks", "books_balance", HOUR, False, "healed since")
        report(instance, "raw_clicks", "books_balance", HOUR, True)
        report(instance, "es_index", "documents_match", "2026-01-31-13:00", False, "another hour")
        report(instance, "enriched_clicks", "every_row_enriched", HOUR, True)
        report(instance, "enriched_clicks", "every_row_enriched", HOUR, False, "3 of 4 rows")
        found = failed_checks(instance, HOUR)
    assert found == [FailedCheck("enriched_clicks", "every_row_enriched", "3 of 4 rows")]


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
    assert (found[run_id].status, found[run_id].why) == ("SUCCESS", "new offsets")
    assert found[run_id].started > 1_700_000_000


def test_without_a_dagster_home_there_are_no_records(monkeypatch, tmp_path):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert find_instance(Settings(home=tmp_path)) is None


def test_the_records_of_clickstream_run_are_found_by_its_folder(monkeypatch, tmp_path):
    from clickstream_assets.commands.dagster_processes import dagster_home

    monkeypatch.setenv("DAGSTER_HOME", "")
    home = dagster_home(Settings(home=tmp_path))
    with find_instance(Settings(home=tmp_path)) as instance:
        assert instance.root_directory == str(home)
        assert failed_checks(instance, HOUR) == []
