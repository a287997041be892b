"""The folder of all that the embedded servers and Dagster write: its owner alone reads it."""

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clickstream_assets.settings import Settings

PRIVATE = 0o077
"""The umask under which servers and Dagster run: what they write is nobody else's."""
PROGRAMS = "programs"
"""The folder of links to the servers' programs, which are no secret: see ``users.py``."""


def clickstream_home(settings: "Settings") -> Path:
    """The folder of the embedded servers and of Dagster."""
    return settings.home.expanduser().absolute()


def stack_home(settings: "Settings") -> Path:
    """The folder of the servers' data, logs and state."""
    return clickstream_home(settings) / "stack"


def require_own(folder: Path) -> None:
    """Raise PermissionError for a link, or somebody else's folder: he could put files of his in the place of ours."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(f"{folder} is a link or belongs to another user")


def make_private(home: Path) -> None:
    """Take from all but the owner every right to the home and to what is ours in it, as older releases left it.

    A folder that is everybody's, like ``/tmp``, stays it; so does what belongs to somebody else, like the root of a
    volume, which its owner has set up.
    """
    if not home.stat().st_mode & stat.S_ISVTX:
        _take_rights(home)
    for ours in (home / "stack", home / "dagster", home / "first-hour"):
        _take_rights(ours)
        for folder, folders, files in os.walk(ours):
            if PROGRAMS in folders:
                folders.remove(PROGRAMS)
            for name in (*folders, *files):
                _take_rights(Path(folder, name))


def _take_rights(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):  # gone meanwhile; somebody else's
        mode = path.lstat().st_mode
        if mode & PRIVATE and not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) & ~PRIVATE)
