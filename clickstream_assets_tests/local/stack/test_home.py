import stat

from clickstream_assets.local.stack.home import PROGRAMS, make_private


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_of_an_older_release_becomes_its_owners_alone(tmp_path):
    home, dagster = tmp_path / "home", tmp_path / "home" / "dagster" / "history"
    dagster.mkdir(parents=True)
    (dagster / "runs.db").touch()
    (home / "first-hour").touch()
    tool = home / "stack" / "tool"
    tool.parent.mkdir()
    tool.touch(mode=0o755)
    for path in (home, *home.rglob("*")):
        path.chmod(0o755)
    make_private(home)
    assert {_mode(path) for path in (home, *home.rglob("*"))} == {0o700}


def test_links_are_not_followed_and_links_to_programs_stay_readable(tmp_path):
    home, outside = tmp_path / "home", tmp_path / "outside"
    programs = home / "stack" / PROGRAMS
    programs.mkdir(parents=True)
    for file in (outside, programs / "kafka.jar"):
        file.touch()
        file.chmod(0o644)
    (home / "stack" / "link").symlink_to(outside)
    make_private(home)
    assert _mode(outside) == _mode(programs / "kafka.jar") == 0o644


def test_a_home_that_holds_other_things_keeps_their_rights(tmp_path):
    (tmp_path / "theirs").touch()
    (tmp_path / "theirs").chmod(0o644)
    tmp_path.chmod(0o1777)  # like /tmp
    make_private(tmp_path)
    assert _mode(tmp_path / "theirs") == 0o644
    assert _mode(tmp_path) == 0o1777
