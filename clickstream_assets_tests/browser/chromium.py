"""The browser that looks at Dagster's pages: where it is, how it is had, how it is started.

``python -m clickstream_assets_tests.browser.chromium`` sees to it that there is one.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

VARIABLE = "CHROMIUM"
"""Names the browser, as a path or as a command; without it, those of Debian and of Chrome are looked for."""

_COMMANDS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # else it does not start as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_DEBIAN = Path("/etc/debian_version")
_PACKAGES = ("chromium", "fonts-liberation")


class MissingBrowserError(Exception):
    """There is no browser; says how to get one."""


def find() -> str:
    """The browser's path. Raises :class:`MissingBrowserError` if there is none, or none where ``CHROMIUM`` says."""
    named = os.environ.get(VARIABLE)
    for command in (named,) if named else _COMMANDS:
        if path := shutil.which(command):
            return path
    if named:
        raise MissingBrowserError(f"{VARIABLE}={named} is no program: name Chromium's or Chrome's, or leave it unset.")
    raise MissingBrowserError(
        "The tests look at Dagster's pages with Chromium, which is missing: install it with "
        f"`apt-get install {' '.join(_PACKAGES)}` as root, or name another Chromium or Chrome with {VARIABLE}=PATH."
    )


def ensure() -> str:
    """The browser's path; installs Debian's if it is missing and can be. Raises :class:`MissingBrowserError`."""
    try:
        return find()
    except MissingBrowserError:
        if os.environ.get(VARIABLE) or os.geteuid() != 0 or not _DEBIAN.exists() or not _apt_get():
            raise
    return find()


def _apt_get() -> bool:
    """Install the packages; whether that went well. What apt-get has to say goes to the terminal."""
    apt = shutil.which("apt-get")
    if not apt:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    steps = (["update"], ["install", "--yes", "--no-install-recommends", *_PACKAGES])
    return all(
        subprocess.run([apt, "--quiet", "--quiet", *step], env=environment, check=False).returncode == 0
        for step in steps
    )


@contextmanager
def page(width: int, height: int, scale: float = 1) -> Iterator[Page]:
    """A page of so many CSS pixels, each drawn as ``scale`` squared. Raises :class:`MissingBrowserError`."""
    path = find()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield browser.new_page(
                viewport={"width": width, "height": height}, device_scale_factor=scale, timezone_id="UTC"
            )
        finally:
            browser.close()


if __name__ == "__main__":
    try:
        ensure()
    except MissingBrowserError as error:
        sys.exit(str(error))
