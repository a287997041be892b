"""Ports: whether one is free, who has it if not, and free ones for what nobody outside needs to know."""

import random
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from clickstream_assets.local.stack.errors import StackError

HOST = "127.0.0.1"
"""Where every server listens, if no name is set. A number: what names resolve to differs between machines."""

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class Door:
    """How clients come to the servers' public ports. What servers say among themselves stays on :data:`HOST`."""

    listen: str = HOST
    name: str = HOST
    """What a client is told that asks a server where to go."""

    @classmethod
    def named(cls, name: str) -> Self:
        """Open to whoever can reach this machine by ``name``; for an empty one to this machine only."""
        return cls("0.0.0.0", name) if name else cls()


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1)
        except OSError:
            return False
    return True


def choose(server: str, wanted: int, variable: str, chosen: set[int]) -> int:
    """The port for a server: the wanted one, or any free one for 0. Adds it to ``chosen``.

    Raises :class:`StackError` naming who has the port and which variable sets another.
    """
    if wanted == 0:
        return free_port(chosen)
    if wanted in chosen:
        raise StackError(f"Port {wanted} is set for two servers: set {variable} to another one.")
    if not is_free(wanted):
        raise StackError(
            f"Port {wanted}, which {server} needs, is taken{_by_whom(wanted)}: "
            f"stop that, or set {variable} to another port (0: any free one)."
        )
    chosen.add(wanted)
    return wanted


def free_port(chosen: set[int]) -> int:
    """A free port that is not among ``chosen``, which it joins.

    Taken from below the range from which the kernel serves outgoing connections: one of those, made by the server next
    door, could take the port between this look and the server's start.
    """
    try:
        first = int(_EPHEMERAL.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32768
    low = max(1024, min(20_000, first - 4_000))
    for _ in range(1_000):
        port = random.randrange(low, max(first, low + 1_000))
        if port not in chosen and is_free(port):
            chosen.add(port)
            return port
    raise StackError("No free port was found for the embedded servers: is something using thousands of them?")


def _by_whom(port: int) -> str:
    """`` by NAME (pid N)`` if the system tells."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                if connection.pid is None:
                    return " by a process of another user"
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""


def is_open(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0
