"""Whether anybody listens at an address, told in seconds: clients themselves try for up to a minute and more."""

import socket
from collections.abc import Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from urllib.parse import urlsplit

Address = tuple[str, int]
"""Host and port."""

CONNECT_SECONDS = 3


def address_of(url: str, default_port: int) -> Address:
    """Where an address of the settings points."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or default_port


def require_listener(addresses: Iterable[Address]) -> None:
    """Return as soon as one of the addresses accepts a TCP connection.

    Raises ConnectionError if none does within :data:`CONNECT_SECONDS`, with what became of each.
    """
    outcomes: dict[Address, str] = {address: f"no answer within {CONNECT_SECONDS} s" for address in addresses}
    results: SimpleQueue[tuple[Address, str]] = SimpleQueue()
    # Threads, all at once, that nobody waits for: looking up a name has no timeout of its own.
    for address in outcomes:
        Thread(target=lambda address=address: results.put((address, _knock(address))), daemon=True).start()
    deadline = monotonic() + CONNECT_SECONDS
    for _ in outcomes:
        try:
            address, failure = results.get(timeout=max(0, deadline - monotonic()))
        except Empty:
            break
        if not failure:
            return
        outcomes[address] = failure
    raise ConnectionError("; ".join(f"{host}:{port}: {words}" for (host, port), words in outcomes.items()))


def _knock(address: Address) -> str:
    """Empty if someone is there, else why not."""
    try:
        # A name often has an IPv6 and an IPv4 address, tried in turn: half of the time for each.
        with socket.create_connection(address, timeout=CONNECT_SECONDS / 2):
            return ""
    except (OSError, OverflowError, UnicodeError) as error:  # unreachable, no such port, no such name
        return str(error) or type(error).__name__
