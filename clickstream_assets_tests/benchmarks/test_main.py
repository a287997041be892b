"""What ``python -m benchmarks`` takes, and what it does with it."""

from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import bench, live, machine

DOCUMENT = "# Benchmarks\n"


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The command without servers: what is measured live, and the document."""
    calls, document = [], tmp_path / "benchmarks.md"
    document.write_text(DOCUMENT, encoding="utf-8")

    @contextmanager
    def no_servers():
        yield "the servers"

    def live_part(servers, rate, minutes, fill, facts):
        assert (servers, facts) == ("the servers", {})
        calls.append((rate, minutes, fill))
        return "# Tables", ["a document"] if rate == 13 else []

    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr(bench, "embedded_servers", no_servers)
    monkeypatch.setattr(machine, "machine", dict)
    monkeypatch.setattr(live, "live_part", live_part)
    yield calls
    assert document.read_text(encoding="utf-8") == DOCUMENT


def run(*arguments):
    return CliRunner().invoke(command.main, arguments)


def test_rate_minutes_and_fill_are_measured_and_printed_alone(measured):
    result = run("--live", "200", "5", "300000")
    assert result.exit_code == 0, result.output
    assert measured == [(200, 5, 300_000)]
    assert "Tables" in result.output


def test_differences_end_it_with_1(measured):
    result = run("--live", "13", "1", "0")
    assert result.exit_code == 1
    assert "differs a document" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--live", "0", "5", "1"), "0 is not in the range 1<=x<=100000"),
        (("--live", "200", "0", "1"), "0 is not in the range 1<=x<=55"),
        (("--live", "200", "5", "-1"), "-1 is not in the range 0<=x<=5000000"),
        (("--live", "200", "5"), "requires 3 arguments"),
        (("--live", "200", "five", "1"), "'five' is not a valid integer"),
        (("--live", "200", "50", "2000000"), "50 min and the time to fill the hour with 2,000,000 events"),
        (("--live", "2000", "10", "1"), "1,200,000 events are more than the 1,000,000 that can be sent live"),
        (("--live", "200", "5", "1", "--quick"), "exclude each other"),
        (("--live", "200", "5", "1", "--long"), "exclude each other"),
        (("--quick", "--long"), "exclude each other"),
    ],
)
def test_what_cannot_be_measured_starts_no_server(measured, arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert measured == []


def test_help_tells_of_all_ways():
    words = " ".join(run("--help").output.split())
    assert "--live RATE MINUTES FILL" in words
    assert "All of it lies within one hour: it waits for the next" in words
