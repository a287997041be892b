import zipfile

import pytest

from clickstream_assets.local.stack import downloads, products
from clickstream_assets.local.stack.errors import StackError
from clickstream_assets.local.stack.jars_lock import LOCK, lock_of
from clickstream_assets.local.stack.steps import Steps
from clickstream_assets.settings import Settings


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / products.KAFKA.folder
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "a.jar").write_bytes(b"whole")
    _complete(folder, products.KAFKA)
    return folder


def _complete(folder, product):
    (folder / LOCK.name).write_text(lock_of(product))
    downloads.write_manifest(folder)


def is_complete(place):
    return downloads.is_complete(products.KAFKA, place.parent)


def test_a_download_with_all_its_files_counts(place):
    assert is_complete(place)


def test_a_download_without_its_manifest_does_not_count(place):
    (place / downloads.MANIFEST).unlink()
    assert not is_complete(place)


def test_a_download_with_a_file_cut_short_does_not_count(place):
    (place / "lib" / "a.jar").write_bytes(b"who")
    assert not is_complete(place)


def test_a_download_with_a_file_missing_does_not_count(place):
    (place / "lib" / "a.jar").unlink()
    assert not is_complete(place)


def test_a_download_of_before_there_was_a_lock_does_not_count(place):
    (place / LOCK.name).unlink()
    assert not is_complete(place)


def test_a_torn_manifest_does_not_count(place):
    (place / downloads.MANIFEST).write_text('{"lib/a.jar": ')
    assert not is_complete(place)


def _complete_cache(cache):
    for product in products.PRODUCTS:
        (cache / product.folder).mkdir(parents=True)
        (cache / product.folder / products.GEOIP_FILE).write_bytes(b"x")
        _complete(cache / product.folder, product)


def test_a_complete_cache_needs_no_network(tmp_path, monkeypatch):
    _complete_cache(tmp_path)
    monkeypatch.setattr(downloads, "_fetch_all", lambda *_: pytest.fail("went to the network"))
    found = downloads.ensure_downloads(Settings(cache=tmp_path), Steps())
    assert found.kafka == tmp_path / products.KAFKA.folder
    assert found.geoip_database == tmp_path / "geoip" / "GeoLite2-City.mmdb"


def test_only_what_is_missing_is_fetched_and_left_overs_are_cleared(tmp_path, monkeypatch):
    _complete_cache(tmp_path)
    (tmp_path / products.HBASE.folder / downloads.MANIFEST).unlink()
    left_over = tmp_path / ".staging-of-a-killed-process"
    left_over.mkdir()
    fetched = []
    monkeypatch.setattr(downloads, "_fetch_all", lambda cache, products, steps: fetched.extend(products))
    downloads.ensure_downloads(Settings(cache=tmp_path), Steps())
    assert fetched == [products.HBASE]
    assert not left_over.exists()


def test_ones_own_geoip_database_spares_that_download(tmp_path, monkeypatch):
    cache, own = tmp_path / "cache", tmp_path / "own.mmdb"
    _complete_cache(cache)
    (cache / products.GEOIP.folder / downloads.MANIFEST).unlink()
    monkeypatch.setattr(downloads, "_fetch_all", lambda *_: pytest.fail("went to the network"))
    own.write_bytes(b"x")
    assert downloads.ensure_downloads(Settings(cache=cache, geoip_database=own), Steps()).geoip_database == own


def test_a_geoip_database_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(StackError, match="CLICKSTREAM_GEOIP_DATABASE"):
        downloads.ensure_downloads(Settings(cache=tmp_path, geoip_database=tmp_path / "none.mmdb"), Steps())


@pytest.mark.slow
def test_without_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr(downloads, "PRODUCTS", (products.GEOIP,))
    with pytest.raises(StackError) as error:
        downloads.ensure_downloads(Settings(cache=tmp_path), Steps())
    assert "Could not download GeoLite2 city database" in error.value.message
    assert "Connection refused" in error.value.message
    assert "Check the network" in error.value.message
    assert not downloads.is_complete(products.GEOIP, tmp_path)
    assert list(tmp_path.glob(".staging-*")) == []


def test_elasticsearch_is_unpacked_without_its_outer_folder(tmp_path):
    fetched, place = tmp_path / "fetched", tmp_path / "place"
    (fetched / "org").mkdir(parents=True), place.mkdir()
    with zipfile.ZipFile(fetched / "org" / "elasticsearch-1.zip", "w") as archive:
        archive.writestr("elasticsearch-1/lib/a.jar", "a")
    products._unzip(fetched, place)
    assert (place / "lib" / "a.jar").read_text() == "a"
