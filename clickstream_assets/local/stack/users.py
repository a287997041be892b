"""Whom servers run as when root starts them: ``nobody``, who owns nothing, without any capability.

What that user is to read or write it has to reach, and folders like ``/root`` let nobody pass. The stack's own folders
are opened for passing, to that user's group alone (mode 0710); programs out of reach are linked into the home. Where
the home or Java is itself out of reach, servers run as root, with a word on it: all but Elasticsearch, which refuses,
and runs in a user namespace of its own.

Spark always runs as its caller: its workers import this project and its packages, wherever they are.
"""

import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clickstream_assets.local.stack.errors import StackError

NOBODY = 65534
"""The user and group that own nothing on any Linux."""


@dataclass(frozen=True)
class ServerUser:
    """Somebody that servers run as; by default whoever starts them."""

    command: tuple[str, ...] = ()
    """What stands before a server's command."""
    owner: int | None = None
    """Who gets the server's folders; None: they stay as they are."""

    def give(self, *folders: Path) -> None:
        """Make folders and all that is in them this user's own."""
        if self.owner is not None:
            for folder in folders:
                os.lchown(folder, self.owner, self.owner)
                # By open folders, not by paths: whoever owns one now could put a link in its place meanwhile
                for _, inner, files, opened in os.fwalk(folder, follow_symlinks=False):
                    for name in (*inner, *files):
                        _give(name, self.owner, opened)

    def reaches(self, program: Path, readable: Path, writable: Path) -> bool:
        """Whether it can, by really looking as this user."""
        looks = 'test -x "$1" && test -r "$2/." && test -w "$3"'
        arguments = [*self.command, "sh", "-c", looks, "sh", str(program), str(readable), str(writable)]
        try:
            return subprocess.run(arguments, capture_output=True, timeout=20, check=False).returncode == 0
        except OSError:
            return False


def _give(name: str, owner: int, folder: int) -> None:
    """Make something in an open folder somebody's own; a file of several names stays, for it may be another's too."""
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if found.st_uid != owner and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
            os.chown(name, owner, owner, dir_fd=folder, follow_symlinks=False)


CALLER = ServerUser()
_AS_NOBODY = ServerUser(
    (
        *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"),
        *("--no-new-privs", "--pdeathsig=KILL"),
    ),
    NOBODY,
)
_IN_NAMESPACE = ServerUser(
    ("unshare", "--user", "--map-user=1000", "--map-group=1000", "setpriv", "--pdeathsig=KILL"), 0
)
"""Root by another number, without root's capabilities."""


def servers_user(java: Path, home: Path, stack_home: Path, say: Callable[[str], None]) -> ServerUser:
    """Whom the servers run as: whoever calls this, but ``nobody`` for root, for whom folders are opened as said above.

    ``say`` is told where root has to do.
    """
    if os.geteuid() != 0:
        return CALLER
    tried = stack_home / "tmp" / "nobody"
    for folder in (home, stack_home, *(stack_home / name for name in ("data", "conf", "tmp"))):
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & 0o001:  # all may pass otherwise
            os.chown(folder, -1, NOBODY)
            folder.chmod(0o710)
    tried.mkdir(exist_ok=True)
    _AS_NOBODY.give(tried)
    if _AS_NOBODY.reaches(java, java.parent, tried):
        return _AS_NOBODY
    say(
        "Kafka and HBase run as root: the user nobody can't reach "
        f"{java.parent} and {stack_home}. Put the clone elsewhere than below a folder like /root, or start as a user."
    )
    return CALLER


def within_reach(user: ServerUser, java: Path, programs: Path, place: Path) -> Path:
    """A folder of programs that the user can read: ``programs`` itself, or links to its files below ``place``."""
    if user.owner is None or user.reaches(java, programs, place.parent / "tmp" / "nobody"):
        return programs
    from clickstream_assets.local.stack.downloads import MANIFEST, has_all

    links = place / programs.name
    manifest = links / MANIFEST
    if not has_all(links) or manifest.read_bytes() != (programs / MANIFEST).read_bytes():
        shutil.rmtree(links, ignore_errors=True)
        shutil.copytree(programs, links, copy_function=_link)
        for path in (place, links, *links.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    return links


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def other_user(program: Path, readable: Path, *writable: Path) -> ServerUser:
    """Somebody other than root for a program that refuses root, who gets the writable folders; else the caller.

    ``nobody`` where the paths can be reached, else somebody in a user namespace.
    """
    if os.geteuid() != 0:
        return CALLER
    for user in (_AS_NOBODY, _IN_NAMESPACE):
        user.give(*writable)
        if user.reaches(program, readable, writable[0]):
            return user
    raise StackError(
        f"Elasticsearch refuses to run as root, and no other user can be given access to {writable[0]}, {program} and "
        f"{readable} by setpriv or unshare (util-linux): run as another user, or have the clone and CLICKSTREAM_HOME "
        "in folders that every user can reach."
    )
