"""``make security-check``: every way to sign in to each server, and what a user is told where it does not work.

Starts the embedded servers twice, in folders of its own on free ports: in plain text with TLS terminators before
them, and with ``--secure``. Exits with 1 if anything comes out otherwise than expected.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clickstream_assets_tests.fakes.certificates import Certificates
from clickstream_assets_tests.security.mechanisms import (
    Case,
    outcome,
    secured_cases,
    terminated_cases,
)

_PORTS = ("KAFKA", "HBASE", "ELASTICSEARCH", "SPARK")


def main() -> int:
    """Run all cases and print them; 0 if each came out as expected."""
    with tempfile.TemporaryDirectory(prefix="clickstream-security-") as name:
        folder = Path(name)
        certificates = Certificates(folder)
        rows = [
            *_tried(folder, lambda env: terminated_cases(env, certificates, folder)),
            *_tried(folder, lambda env: secured_cases(env, mutual_variables(env), certificates, folder), "--secure"),
        ]
    _print(rows)
    wrong = [case for case, told, _ in rows if case.expected not in told]
    print(f"{len(rows)} cases on real servers, {len(wrong)} otherwise than expected")
    for case in wrong:
        print(f"expected of {case.server}, {case.mechanism}, {case.name}: {case.expected}")
    return 1 if wrong else 0


def mutual_variables(environment: dict[str, str]) -> dict[str, str]:
    """The variables for Kafka's listener that asks for a certificate, from the file that the stack has written."""
    file = Path(environment["CLICKSTREAM_KAFKA_CA"]).with_name("kafka-mutual.env")
    return exported(file.read_text())


def exported(lines: str) -> dict[str, str]:
    """Variables from lines like ``export NAME=VALUE``."""
    words = (shlex.split(line)[1] for line in lines.splitlines() if line)
    return dict(word.split("=", 1) for word in words)


def _tried(
    folder: Path, cases: Callable[[dict[str, str]], AbstractContextManager[list[Case]]], *options: str
) -> Iterator[tuple[Case, str, float]]:
    with _stack(folder / f"home{''.join(options)}", *options) as environment, cases(environment) as found:
        for case in found:
            told, seconds = outcome(case)
            yield case, told, seconds


@contextmanager
def _stack(home: Path, *options: str) -> Iterator[dict[str, str]]:
    own = {f"CLICKSTREAM_STACK_{name}_PORT": "0" for name in _PORTS} | {"CLICKSTREAM_HOME": str(home)}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLICKSTREAM_")}
    kept = {name: os.environ[name] for name in ("CLICKSTREAM_CACHE",) if name in os.environ}

    def stack(*arguments: str) -> str:
        command = [sys.executable, "-m", "clickstream_assets.cli.main", "stack", *arguments]
        return subprocess.run(command, env=clean | kept | own, stdout=subprocess.PIPE, text=True, check=True).stdout

    stack("up", *options)
    try:
        yield exported(stack("env"))
    finally:
        stack("down")


def _print(rows: list[tuple[Case, str, float]]) -> None:
    table = Table(title="Signing in, on real servers")
    for column in ("server", "mechanism", "case", "what a user is told", "seconds"):
        table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for case, told, seconds in rows:
        table.add_row(case.server.capitalize(), case.mechanism, case.name, told, f"{seconds:.1f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
