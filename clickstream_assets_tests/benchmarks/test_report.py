"""What the tables say."""

from benchmarks.report import LONG_HEADING, Line, cpu_table, targets_table, with_part
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


MAIN, LONG = "# Benchmarks\n\nRun of noon.\n", f"{LONG_HEADING}\n\nRun of midnight.\n"


def test_a_run_keeps_the_other_part_as_an_earlier_one_has_written_it():
    both = "# Benchmarks\n\nRun of noon.\n\n## The long run\n\nRun of midnight.\n"
    assert with_part(LONG, MAIN) == with_part(MAIN, LONG) == both
    new = "# Benchmarks\n\nRun of now."
    assert with_part(new, both) == "# Benchmarks\n\nRun of now.\n\n## The long run\n\nRun of midnight.\n"
    assert with_part("## The long run\n\nRun of now.", both) == (
        "# Benchmarks\n\nRun of noon.\n\n## The long run\n\nRun of now.\n"
    )


def test_a_document_may_have_one_part_alone():
    assert with_part(MAIN.strip(), "") == with_part(MAIN, "# Benchmarks\nold\n") == MAIN
    assert with_part(LONG.strip(), "") == with_part(LONG, f"{LONG_HEADING}\nold\n") == LONG
