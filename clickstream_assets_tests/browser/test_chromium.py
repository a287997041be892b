"""Where there is no browser, whoever runs the tests is told how to get one, and no test is skipped."""

import os

import pytest

from clickstream_assets_tests.browser import chromium


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with no browser; a folder whose programs can be found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    return tmp_path


def program(path, script="exit 0"):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_debians_chromium_is_taken_where_nothing_is_named(bare):
    expected = program(bare / "chromium")
    assert chromium.find() == expected


def test_another_browser_can_be_named(bare, monkeypatch):
    program(bare / "chromium")
    monkeypatch.setenv(chromium.VARIABLE, program(bare / "other"))
    assert chromium.find() == str(bare / "other")


def test_a_missing_browser_is_one_sentence_that_says_how_to_get_it(bare):
    with pytest.raises(chromium.MissingBrowserError, match=r"apt-get install chromium .* CHROMIUM=PATH\.$") as error:
        chromium.find()
    assert "\n" not in str(error.value)


def test_a_named_browser_that_is_missing_is_not_replaced_by_another(bare, monkeypatch):
    program(bare / "chromium")
    monkeypatch.setenv(chromium.VARIABLE, str(bare / "nowhere"))
    with pytest.raises(chromium.MissingBrowserError, match="nowhere is no program"):
        chromium.ensure()


@pytest.mark.parametrize(("user", "installs"), [(0, True), (1000, False)])
def test_it_is_installed_by_root_on_debian_and_by_nobody_else(bare, monkeypatch, user, installs):
    monkeypatch.setattr(chromium, "_DEBIAN", bare)  # as on Debian, wherever the test runs
    calls = bare / "calls"
    chmod = "/bin/chmod 755"
    install = f'[ "$3" != install ] || {{ echo "#!/bin/sh" > {bare}/chromium; {chmod} {bare}/chromium; }}'
    program(bare / "apt-get", f'echo "$@" >> {calls}; {install}')
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if installs:
        assert chromium.ensure() == str(bare / "chromium")
        assert [line.split()[2] for line in calls.read_text().splitlines()] == ["update", "install"]
    else:
        with pytest.raises(chromium.MissingBrowserError, match="as root"):
            chromium.ensure()
        assert not calls.exists()


def test_an_installation_that_fails_ends_in_the_same_sentence(bare, monkeypatch):
    monkeypatch.setattr(chromium, "_DEBIAN", bare)
    program(bare / "apt-get", "exit 100")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(chromium.MissingBrowserError, match="apt-get install chromium"):
        chromium.ensure()
