"""The servers' files, fetched once per user by Ivy, which PySpark brings along.

Every product is fetched into a staging folder beside its place, gets a manifest of its files and sizes, and is moved
into place by one rename. What has no manifest, or not all that the manifest lists, is not there and is fetched again.
Products are fetched side by side: most of the time goes into waiting for answers.
"""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.java_servers import proxy_flags, write_trust_store
from clickstream_assets.local.stack.processes import die_with_parent
from clickstream_assets.local.stack.products import ELASTICSEARCH, GEOIP, GEOIP_FILE, HBASE, KAFKA, PRODUCTS, Product
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets.stores.java import java_binary

if TYPE_CHECKING:
    from clickstream_assets.settings import Settings

MANIFEST = ".complete.json"
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Downloads:
    """Where everything is, once it is there."""

    kafka: Path
    hbase: Path
    elasticsearch: Path
    geoip_database: Path


def ensure_downloads(settings: "Settings", steps: Steps) -> Downloads:
    """Fetch what the cache lacks and return where everything is; touches no network if nothing is lacking.

    Raises :class:`StackError` if something cannot be fetched. What could be is kept.
    """
    cache = settings.cache.expanduser().absolute()
    database = fetched = cache / GEOIP.folder / GEOIP_FILE
    if "geoip_database" in settings.model_fields_set:
        database = settings.geoip_database.expanduser().absolute()
    if database != fetched and not database.is_file():
        raise StackError(f"There is no GeoIP database at {database}: correct CLICKSTREAM_GEOIP_DATABASE or unset it.")
    wanted = [product for product in PRODUCTS if database == fetched or product is not GEOIP]
    if not all(is_complete(cache / product.folder) for product in wanted):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _only_one(cache, steps):
                missing = [product for product in wanted if not is_complete(cache / product.folder)]
                _fetch_all(cache, missing, steps)
        except PermissionError as error:
            raise StackError(f"The cache folder {cache} cannot be written: set CLICKSTREAM_CACHE ({error}).") from error
    return Downloads(
        kafka=cache / KAFKA.folder,
        hbase=cache / HBASE.folder,
        elasticsearch=cache / ELASTICSEARCH.folder,
        geoip_database=database,
    )


def is_complete(place: Path) -> bool:
    """Whether all that the folder's manifest lists is there, in full size."""
    try:
        manifest: dict[str, int] = json.loads((place / MANIFEST).read_text())
        return bool(manifest) and all((place / name).stat().st_size == size for name, size in manifest.items())
    except (OSError, ValueError):
        return False


def write_manifest(place: Path) -> None:
    """List the files of a folder with their sizes, in the folder."""
    files = {str(path.relative_to(place)): path.stat().st_size for path in sorted(place.rglob("*")) if path.is_file()}
    (place / MANIFEST).write_text(json.dumps(files, indent=0))


def ivy_file(product: Product) -> str:
    """Ivy's description of what to fetch."""
    return (
        f'<ivy-module version="2.0">\n<info organisation="clickstream" module="{product.name}"/>\n'
        '<configurations><conf name="default"/></configurations>\n'
        f"<dependencies>{product.dependencies}</dependencies>\n</ivy-module>\n"
    )


@contextmanager
def _only_one(cache: Path, steps: Steps) -> Iterator[None]:
    """Let one process download at a time."""
    with (cache / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            steps.say("Another process is downloading the servers; waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_over in cache.glob(".staging-*"):  # of a process that was killed: nobody else is at work
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def _fetch_all(cache: Path, products: list[Product], steps: Steps) -> None:
    with tempfile.TemporaryDirectory(dir=cache, prefix=".staging-", ignore_cleanup_errors=True) as staging:
        trust_store = Path(staging) / "trust.p12"
        trust = [f"-Djavax.net.ssl.trustStore={trust_store}"] if write_trust_store(trust_store) else []
        fetches = []
        try:
            for product in products:
                fetches.append(_Fetch(product, Path(staging) / product.name, trust))
                steps.begin(product.name, f"Fetching {product.title}", product.size_mb)
            running = list(fetches)
            while running:
                time.sleep(_POLL_SECONDS)
                for fetch in list(running):
                    steps.progress(fetch.product.name, min(fetch.done_mb(), fetch.product.size_mb))
                    if fetch.process.poll() is not None:
                        running.remove(fetch)
                        if fetch.process.returncode == 0:
                            steps.end(fetch.product.name, f"{fetch.install(cache):.0f} MB")
        finally:
            for fetch in fetches:
                fetch.process.kill()
                fetch.process.wait()
        failed = [fetch for fetch in fetches if fetch.process.returncode != 0]
        if failed:
            log = cache / "download-failed.log"
            log.write_text("".join(fetch.log.read_text(errors="replace") for fetch in failed))
            titles = ", ".join(fetch.product.title for fetch in failed)
            raise StackError(
                f"Could not download {titles}: {failed[0].reason()}\n"
                "Check the network, then run the same command again; what was fetched is kept. A proxy is taken from "
                f"HTTPS_PROXY, certificates from SSL_CERT_FILE. Ivy's full output: {log}"
            )


class _Fetch:
    """One product on its way."""

    def __init__(self, product: Product, staging: Path, trust: list[str]) -> None:
        from clickstream_assets.local.stack.spark_server import spark_home

        self.product = product
        self.log = staging / "ivy.log"
        self._cache = staging / "cache"
        self._fetched = staging / "fetched"
        self._place = staging / "place"
        for folder in (self._cache, self._fetched, self._place):
            folder.mkdir(parents=True)
        description = staging / "ivy.xml"
        description.write_text(ivy_file(product))
        (ivy,) = (spark_home() / "jars").glob("ivy-*.jar")
        command = [
            str(java_binary()),
            *("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            *trust,
            *proxy_flags(),
            f"-Divy.default.ivy.user.dir={staging / 'user'}",
            *("-jar", str(ivy), "-cache", str(self._cache), "-ivy", str(description)),
            *("-retrieve", f"{self._fetched}/[artifact]-[revision].[ext]"),
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

    def install(self, cache: Path) -> float:
        """Move what was fetched into place; its size in megabytes."""
        size = sum(path.stat().st_size for path in self._fetched.iterdir())
        self.product.unpack(self._fetched, self._place)
        for path in (self._place, *self._place.rglob("*")):  # for the other user that root starts servers as, too
            path.chmod(0o755 if path.is_dir() else 0o644)
        write_manifest(self._place)
        target = cache / self.product.folder
        if target.exists():
            target.rename(self._place.with_name("incomplete"))
        self._place.rename(target)
        return size / 1e6

    def reason(self) -> str:
        """The line of Ivy's output that says most about why it failed."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        for sign in ("Server access error", "Host ", "not found", "FAILED", "Exception", "Error"):
            for line in lines:
                if sign in line:
                    return line
        return lines[-1] if lines else f"Ivy ended with exit code {self.process.returncode}"
