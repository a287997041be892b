import os
import platform
import pwd
import sys
from collections import namedtuple

import pytest

from clickstream_assets.local.stack import requirements
from clickstream_assets.local.stack.errors import StackError

Version = namedtuple("Version", "major minor micro releaselevel serial")


def test_this_machine_will_do():
    requirements.check_platform()
    requirements.check_user()
    requirements.check_memory(needed_mb=1)


@pytest.mark.parametrize("minor", [10, 14, 15])
def test_another_python_is_refused(monkeypatch, minor):
    monkeypatch.setattr(sys, "version_info", Version(3, minor, 0, "final", 0))
    with pytest.raises(StackError, match=r"Python 3\.11 to 3\.13 is needed"):
        requirements.check_platform()


@pytest.mark.parametrize(("system", "machine"), [("Windows", "AMD64"), ("Darwin", "arm64"), ("Linux", "ppc64le")])
def test_a_machine_without_java_is_refused(monkeypatch, system, machine):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(StackError, match=f"{system} on {machine.lower()}"):
        requirements.check_platform()


def test_a_user_without_a_name_is_refused(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(KeyError):
        pwd.getpwuid(4_000_000)
    with pytest.raises(StackError, match="4000000 has no name"):
        requirements.check_user()


def test_too_little_memory_is_said_in_one_sentence(monkeypatch):
    monkeypatch.setattr(requirements, "available_memory_mb", lambda: 2_048)
    with pytest.raises(StackError, match=r"need 5 GiB of free memory, 2\.0 GiB are available"):
        requirements.check_memory()


def _group(folder, files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_a_containers_limit_counts_and_its_droppable_pages_are_free(tmp_path):
    (tmp_path / "cgroup").write_text("0::/outer/inner\n")
    _group(
        tmp_path / "fs" / "outer",
        {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 5\ninactive_file 200\n"},
    )
    _group(
        tmp_path / "fs" / "outer" / "inner",
        {"memory.max": "max\n", "memory.current": "700\n", "memory.stat": "inactive_file 200\n"},
    )
    assert requirements._left_in_groups(tmp_path / "cgroup", tmp_path / "fs") == [500]


def test_limits_of_the_old_kind_of_control_groups_count(tmp_path):
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/a\n4:memory:/a\n")
    _group(
        tmp_path / "fs" / "memory" / "a",
        {
            "memory.limit_in_bytes": "1000\n",
            "memory.usage_in_bytes": "900\n",
            "memory.stat": "inactive_file 1\ntotal_inactive_file 50\n",
        },
    )
    assert requirements._left_in_groups(tmp_path / "cgroup", tmp_path / "fs") == [150]
