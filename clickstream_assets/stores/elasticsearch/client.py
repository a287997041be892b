"""Elasticsearch's client by this process's settings, and whether the cluster lets us in."""

import ssl
from typing import Any

from elasticsearch import ApiError, Elasticsearch, TransportError

from clickstream_assets.connection_settings import ConnectionSettings
from clickstream_assets.settings import settings
from clickstream_assets.stores.reachability import address_of
from clickstream_assets.stores.sign_in import (
    ANSWER_SECONDS,
    Certificates,
    ServerAddress,
    connect,
    once_a_minute,
    require_own_address,
    speaks_tls,
    tls_context,
    why_no_tls,
)

_TITLE = "Elasticsearch"
_UNAUTHORIZED = 401


def elasticsearch_client(url: str, **options: Any) -> Elasticsearch:
    """A client, to be closed by the caller. Raises :class:`SignInRefused`; asked once a minute."""
    once_a_minute(("elasticsearch", url), lambda: sign_in(url))
    return _client(url, **options)


def _client(url: str, **options: Any) -> Elasticsearch:
    configured = settings()
    if url.lower().startswith("https:"):
        options["ssl_context"] = _context(configured)
    if configured.elasticsearch_user or configured.secret("elasticsearch_api_key"):
        require_own_address(_TITLE, "ELASTICSEARCH_URL", url, configured.elasticsearch_url)
    if api_key := configured.secret("elasticsearch_api_key"):
        options["api_key"] = api_key
    elif configured.elasticsearch_user:
        options["basic_auth"] = (configured.elasticsearch_user, configured.secret("elasticsearch_password"))
    return Elasticsearch(url, **options)


def _context(configured: ConnectionSettings) -> ssl.SSLContext:
    certificates = Certificates(
        configured.elasticsearch_ca, configured.elasticsearch_cert, configured.elasticsearch_key
    )
    return tls_context(_TITLE, "ELASTICSEARCH", certificates)


def sign_in(url: str) -> None:
    """Ask one question. Raises :class:`SignInRefused`, or OSError if nobody answers."""
    tls = url.lower().startswith("https:")
    server = ServerAddress(_TITLE, "ELASTICSEARCH", *address_of(url, 9200), settings().elasticsearch_cert is not None)
    connect(server, _context(settings()) if tls else None).close()
    with _client(url, request_timeout=ANSWER_SECONDS, max_retries=0) as es:
        try:
            es.cluster.health()
        except ApiError as error:
            if error.meta.status == _UNAUTHORIZED:
                raise server.refused(_who_we_are(server, settings())) from None
        except TransportError as error:
            if tls and "SSL" in str(error):
                raise server.refused(why_no_tls(server, str(error))) from None
            if not tls and speaks_tls(server):
                raise server.refused(f"it speaks TLS there: begin {server.setting('URL')} with https://") from None
            raise ConnectionError(str(error)) from error


def _who_we_are(server: ServerAddress, configured: ConnectionSettings) -> str:
    if configured.secret("elasticsearch_api_key"):
        return f"it refuses the API key: correct {server.setting('API_KEY')}"
    if configured.elasticsearch_user:
        return f"it refuses user or password: correct {server.setting('USER')} and {server.setting('PASSWORD')}"
    either = f"{server.setting('USER')} and {server.setting('PASSWORD')}, or {server.setting('API_KEY')}"
    return f"it asks who we are: set {either}"
