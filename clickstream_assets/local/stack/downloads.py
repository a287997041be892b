"""The servers' files, fetched once per user by Ivy, which PySpark brings along.

Every product is fetched into a staging folder beside its place and compared with ``jars.lock``, file by file. It gets
its lines of the lock and a manifest of its files and sizes, and is moved into place by one rename. What has no
manifest, not all that the manifest lists, or other lines than the lock has now, is not there and is fetched again.
Products are fetched side by side: most of the time goes into waiting for answers.
"""

import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.ivy import Ivy, exactly, trust_flags
from clickstream_assets.local.stack.jars_lock import LOCK, lock_of, locked, verify
from clickstream_assets.local.stack.products import ELASTICSEARCH, GEOIP, GEOIP_FILE, HBASE, KAFKA, PRODUCTS, Product
from clickstream_assets.local.stack.steps import Steps

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
    if not all(is_complete(product, cache) for product in wanted):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _only_one(cache, steps):
                missing = [product for product in wanted if not is_complete(product, cache)]
                _fetch_all(cache, missing, steps)
        except PermissionError as error:
            raise StackError(f"The cache folder {cache} cannot be written: set CLICKSTREAM_CACHE ({error}).") from error
    return Downloads(
        kafka=cache / KAFKA.folder,
        hbase=cache / HBASE.folder,
        elasticsearch=cache / ELASTICSEARCH.folder,
        geoip_database=database,
    )


def is_complete(product: Product, cache: Path) -> bool:
    """Whether a product is there as it is locked now, with all that its manifest lists, in full size."""
    place = cache / product.folder
    try:
        return (place / LOCK.name).read_text() == lock_of(product) and has_all(place)
    except OSError:
        return False


def has_all(place: Path) -> bool:
    """Whether all that a folder's manifest lists is there, in full size."""
    try:
        manifest: dict[str, int] = json.loads((place / MANIFEST).read_text())
        return bool(manifest) and all((place / name).stat().st_size == size for name, size in manifest.items())
    except (OSError, ValueError):
        return False


def write_manifest(place: Path) -> None:
    """List the files of a folder with their sizes, in the folder."""
    files = {str(path.relative_to(place)): path.stat().st_size for path in sorted(place.rglob("*")) if path.is_file()}
    (place / MANIFEST).write_text(json.dumps(files, indent=0))


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
        trust = trust_flags(Path(staging))
        fetches = []
        try:
            for product in products:
                fetches.append(_Fetch(product, Path(staging) / product.name, trust))
                steps.begin(product.name, f"Fetching {product.title}", fetches[-1].size_mb)
            running = list(fetches)
            while running:
                time.sleep(_POLL_SECONDS)
                for fetch in list(running):
                    steps.progress(fetch.product.name, min(fetch.ivy.done_mb(), fetch.size_mb))
                    if fetch.ivy.process.poll() is not None:
                        running.remove(fetch)
                        if fetch.ivy.process.returncode == 0:
                            fetch.install(cache)
                            steps.end(fetch.product.name, f"{fetch.size_mb:.0f} MB")
        finally:
            for fetch in fetches:
                fetch.ivy.process.kill()
                fetch.ivy.process.wait()
        failed = [fetch for fetch in fetches if fetch.ivy.process.returncode != 0]
        if failed:
            log = cache / "download-failed.log"
            log.write_text("".join(fetch.ivy.log.read_text(errors="replace") for fetch in failed))
            titles = ", ".join(fetch.product.title for fetch in failed)
            raise StackError(
                f"Could not download {titles}: {failed[0].ivy.reason()}\n"
                "Check the network, then run the same command again; what was fetched is kept. A proxy is taken from "
                f"HTTPS_PROXY, certificates from SSL_CERT_FILE. Ivy's full output: {log}"
            )


class _Fetch:
    """One product on its way."""

    def __init__(self, product: Product, staging: Path, trust: list[str]) -> None:
        self.product = product
        self.size_mb = sum(file.size for file in locked(product)) / 1e6
        self._place = staging / "place"
        self._place.mkdir(parents=True)
        self.ivy = Ivy(staging, exactly(locked(product)), trust)

    def install(self, cache: Path) -> None:
        """Move what was fetched into place, if it is what the lock names."""
        verify(self.product, self.ivy.fetched)
        self.product.unpack(self.ivy.fetched, self._place)
        for path in (self._place, *self._place.rglob("*")):  # for the other user that root starts servers as, too
            path.chmod(0o755 if path.is_dir() else 0o644)
        (self._place / LOCK.name).write_text(lock_of(self.product))
        write_manifest(self._place)
        target = cache / self.product.folder
        if target.exists():
            target.rename(self._place.with_name("replaced"))
        self._place.rename(target)
