"""Ingestion, or a command, in a process of its own, whose memory and time are told at its end.

python -m clickstream_assets_tests.integration.hostile_run RECORD [ARGUMENT…]
"""

import json
import resource
import sys
from pathlib import Path
from time import monotonic

from clickstream_assets.cli.main import main
from clickstream_assets.settings import settings
from clickstream_assets_tests.integration.pipeline import Pipeline


def run(record: Path, arguments: list[str]) -> int:
    """Run the sensor until it rests, or the command that is given; returns its exit code."""
    if arguments:
        return main.main(arguments, standalone_mode=False) or 0
    pipeline = Pipeline(settings(), settings().name_prefix.removesuffix("-"), record)
    pipeline.settle()
    return len(pipeline.failed_checks())


def most_memory_kb() -> int:
    """Most memory that this program had at a time; ``ru_maxrss`` also counts what the process was before it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


if __name__ == "__main__":
    begin = monotonic()
    try:
        code = run(Path(sys.argv[1]), sys.argv[2:])
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        told = {"mb": most_memory_kb() >> 10, "seconds": monotonic() - begin, "cpu": used.ru_utime + used.ru_stime}
        print(json.dumps(told), file=sys.stderr)
    sys.exit(code)
