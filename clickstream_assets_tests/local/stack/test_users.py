"""Whom root starts servers as. Run as root; for anybody else there is one answer."""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from clickstream_assets.local.stack.downloads import write_manifest
from clickstream_assets.local.stack.home import PRIVATE
from clickstream_assets.local.stack.users import CALLER, NOBODY, other_user, servers_user, within_reach

SH = Path("/bin/sh")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="for root alone")


@pytest.fixture
def open_folder():
    """A folder that everybody may pass, which pytest's are not, under the umask of a start."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    before = os.umask(PRIVATE)
    yield folder
    os.umask(before)
    shutil.rmtree(folder)


def _user(folder, said):
    return servers_user(SH, folder / "home", folder / "home" / "stack", said.append)


@pytest.mark.skipif(os.geteuid() == 0, reason="for others than root")
def test_servers_run_as_their_caller(tmp_path):
    said = []
    assert _user(tmp_path, said) is CALLER
    assert said == []
    assert other_user(SH, SH.parent, tmp_path) is CALLER


@as_root
def test_servers_of_root_run_as_nobody_without_a_capability(open_folder):
    said = []
    user = _user(open_folder, said)
    status = subprocess.run([*user.command, "cat", "/proc/self/status"], capture_output=True, text=True, check=True)
    fields = dict(line.split(":\t") for line in status.stdout.splitlines())
    assert set(fields["Uid"].split() + fields["Gid"].split()) == {str(NOBODY)}
    assert {fields[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Amb")} == {"0" * 16}
    assert (fields["Groups"].strip(), fields["NoNewPrivs"]) == ("", "1")
    assert said == []


@as_root
def test_nobody_may_pass_the_home_and_list_nothing(open_folder):
    user = _user(open_folder, [])
    home = open_folder / "home"
    assert {stat.S_IMODE(path.stat().st_mode) for path in (home, home / "stack", home / "stack" / "data")} == {0o710}
    assert subprocess.run([*user.command, "ls", str(home)], capture_output=True, check=False).returncode != 0
    others = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", "stat", str(home / "stack")]
    assert subprocess.run(others, capture_output=True, check=False).returncode != 0


@as_root
def test_where_nobody_cannot_be_root_does_it_with_a_word(tmp_path):
    tmp_path.chmod(0o700)
    said = []
    assert _user(tmp_path, said) is CALLER
    assert said[0].startswith("Kafka and HBase run as root: the user nobody can't reach")
    assert other_user(SH, SH.parent, tmp_path).command[:2] == ("unshare", "--user")


@as_root
def test_programs_out_of_reach_are_linked_into_the_home_once(open_folder, tmp_path):
    cache = tmp_path / "kafka-1"
    (cache / "libs").mkdir(parents=True)
    (cache / "libs" / "a.jar").write_text("a jar")
    (cache / "libs" / "a.jar").chmod(0o600)
    write_manifest(cache)
    tmp_path.chmod(0o700)
    user = _user(open_folder, [])
    place = open_folder / "home" / "stack" / "programs"
    found = within_reach(user, SH, cache, place)
    assert found == place / "kafka-1"
    assert subprocess.run([*user.command, "cat", found / "libs" / "a.jar"], check=True, capture_output=True).stdout
    before = found.stat().st_ino
    assert within_reach(user, SH, cache, place).stat().st_ino == before
    (cache / "libs" / "b.jar").write_text("one more")
    write_manifest(cache)
    assert (within_reach(user, SH, cache, place) / "libs" / "b.jar").read_text() == "one more"


@as_root
def test_programs_within_reach_stay_where_they_are(open_folder):
    user = _user(open_folder, [])
    programs = open_folder / "kafka-1"
    programs.mkdir()
    programs.chmod(0o755)
    assert within_reach(user, SH, programs, open_folder / "home" / "stack" / "programs") == programs
    assert within_reach(CALLER, SH, open_folder / "absent", open_folder) == open_folder / "absent"
