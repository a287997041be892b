"""Ivy, which PySpark brings along: it fetches files of Maven Central into a folder."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from clickstream_assets.local.stack.jars_lock import LockedFile
from clickstream_assets.local.stack.java_servers import proxy_flags, write_trust_store
from clickstream_assets.local.stack.processes import die_with_parent
from clickstream_assets.stores.java import java_binary

PATTERN = "[organisation]/[artifact]/[revision]/[artifact]-[revision].[ext]"
"""Where a file goes below the folder of those that are fetched."""

_NO_POMS = """\
<ivysettings>
<settings defaultResolver="public"/>
<resolvers><ibiblio name="public" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>
"""
"""Files alone: what they need in turn is not looked up."""


def exactly(files: Iterable[LockedFile]) -> str:
    """These files and no others, as Ivy spells it."""
    return "".join(
        f'<dependency org="{file.group}" name="{file.artifact}" rev="{file.version}" transitive="false" '
        f'conf="default->default"><artifact name="{file.artifact}" type="{file.type}" ext="{file.type}"/>'
        "</dependency>\n"
        for file in files
    )


def trust_flags(folder: Path) -> list[str]:
    """Java's flags for trusting what Python trusts, by a trust store in the folder."""
    trust_store = folder / "trust.p12"
    return [f"-Djavax.net.ssl.trustStore={trust_store}"] if write_trust_store(trust_store) else []


class Ivy:
    """A process of Ivy's, with all that it writes in one folder."""

    def __init__(self, folder: Path, dependencies: str, trust: list[str], *, follow: bool = False) -> None:
        """Start it. To ``follow`` is to fetch, too, what the dependencies need in turn."""
        from clickstream_assets.local.stack.spark_server import spark_home

        self.log = folder / "ivy.log"
        self.fetched = folder / "fetched"
        self._cache = folder / "cache"
        for made in (self._cache, self.fetched):
            made.mkdir(parents=True)
        description, settings = folder / "ivy.xml", folder / "ivysettings.xml"
        description.write_text(
            '<ivy-module version="2.0">\n<info organisation="clickstream" module="servers"/>\n'
            '<configurations><conf name="default"/></configurations>\n'
            f"<dependencies>{dependencies}</dependencies>\n</ivy-module>\n"
        )
        settings.write_text(_NO_POMS)
        (ivy,) = (spark_home() / "jars").glob("ivy-*.jar")
        command = [
            str(java_binary()),
            *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            *trust,
            *proxy_flags(),
            f"-Divy.default.ivy.user.dir={folder / 'user'}",
            *("-jar", str(ivy), "-cache", str(self._cache), "-ivy", str(description)),
            *(() if follow else ("-settings", str(settings))),
            *("-retrieve", f"{self.fetched}/{PATTERN}"),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - nothing in it takes a lock
            )

    def done_mb(self) -> float:
        """Megabytes of files that are here, the one being fetched included."""
        size = 0
        for folder, _, names in os.walk(self._cache):
            for name in names:
                if not name.endswith((".xml", ".properties", ".pom", ".original")):
                    try:
                        size += (Path(folder) / name).stat().st_size
                    except FileNotFoundError:
                        continue  # renamed between the two looks
        return size / 1e6

    def reason(self) -> str:
        """The line of its output that says most about why it failed."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        for sign in ("Server access error", "Host ", "not found", "FAILED", "Exception", "Error"):
            for line in lines:
                if sign in line:
                    return line
        return lines[-1] if lines else f"Ivy ended with exit code {self.process.returncode}"
