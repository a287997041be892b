"""What the tables say."""

from benchmarks.report import LONG_HEADING, Line, cpu_table, targets_table, with_long_part
from benchmarks.statistics import Summary, Target


def test_a_line_holds_its_ratio_against_the_target():
    one = Summary.of([11_900, 12_345, 13_000])
    line = Line(
        "ingest", one, "events/s", "bare puts", Summary.of([20_000]), Summary.of([0.5, 0.617, 0.7]), Target(0.6)
    )
    *_, row = targets_table([line]).splitlines()
    assert row == (
        "| ingest | 12,345 (11,900 to 13,000) events/s | bare puts | 20,000 | 0.62 (0.50 to 0.70) | ≥ 0.60 | met |"
    )


def test_without_a_yardstick_the_figure_itself_is_held_against_the_target():
    slow = Line("everything", Summary.of([7_999.0]), "events/s", target=Target(8_000))
    large = Line("memory", Summary.of([600]), "MB", target=Target(600, at_least=False))
    fine = Line("memory", Summary.of([599]), "MB", target=Target(600, at_least=False))
    rows = targets_table([slow, large, fine]).splitlines()[2:]
    assert rows[0] == "| everything | 7,999 events/s |  |  |  | ≥ 8,000 events/s | **missed** |"
    assert rows[1].endswith("| < 600 MB | **missed** |")
    assert rows[2].endswith("| < 600 MB | met |")


def test_a_line_without_a_target_is_neither_met_nor_missed():
    line = Line("starting a run", Summary.of([4.21]), "s")
    assert targets_table([line]).splitlines()[-1] == "| starting a run | 4.2 s |  |  |  |  |  |"


def test_cpu_seconds_are_added_up_and_processes_that_never_ran_left_out():
    cpu = {"ingest": {"Kafka": 1.0, "HBase": 2.5}, "enrich": {"HBase": 4.0}}
    lines = cpu_table(cpu, {"Kafka": 500, "HBase": 1_000}, ("Kafka", "HBase", "Spark executors")).splitlines()
    assert lines[2:] == [
        "| Kafka | 1.0 | 0.0 | 500 MB |",
        "| HBase | 2.5 | 4.0 | 1,000 MB |",
        "| together | 3.5 | 4.0 |  |",
    ]


def test_a_short_run_keeps_what_an_earlier_long_run_has_found(tmp_path):
    document = tmp_path / "benchmarks.md"
    assert with_long_part("# Benchmarks\n", document) == "# Benchmarks\n"
    document.write_text(f"# Benchmarks\nold\n\n{LONG_HEADING}\n\nRun of then.\n")
    assert with_long_part("# Benchmarks\nnew\n", document) == f"# Benchmarks\nnew\n\n{LONG_HEADING}\n\nRun of then.\n"
    long = f"# Benchmarks\nnew\n\n{LONG_HEADING}\n\nRun of now.\n"
    assert with_long_part(long, document) == long
