"""Who may ask a web server of ours, and how: its own pages, and programs that are no browser.

A browser sends a page's requests to any address, this one included, whoever wrote the page. It says two things that
the page cannot change: the host that was asked for, and the page's origin. A server that looks at neither does what
any page wants of it.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING = {"GET", "HEAD", "OPTIONS"}
_OWN_SITE = {"same-origin", "none"}
"""What browsers say of requests that a page of the same origin makes, or a person by the address bar."""


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: HTTPStatus
    words: str


class Guard:
    """ASGI middleware: refuses foreign hosts, changes that a foreign page asks for, and GraphQL by GET.

    ``hosts`` are the names by which it may be asked, without ports. ``address`` is what people type where a proxy
    before it has another name: its pages are of that origin, whatever host the proxy asks for.

    The host is looked at by Starlette's ``TrustedHostMiddleware``.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], address: str = "") -> None:
        self._app = TrustedHostMiddleware(_Unframed(app), allowed_hosts=sorted(hosts), www_redirect=False)
        self._address = urlsplit(address).netloc.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.words})  # before it is accepted: 403
        else:
            await PlainTextResponse(f"{refusal.words}\n", refusal.status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] in _READING:
            return _refused_reading(scope, headers)
        if not self._is_own(headers):
            words = "Changes are taken from pages of this server alone, and from programs that are no browser."
            return Refusal(HTTPStatus.FORBIDDEN, words)
        if scope["type"] == "http" and _media_type(headers) != "application/json":
            # A form of a foreign page can send other types without asking; some browsers leave its origin out.
            return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send it with Content-Type: application/json.")
        return None

    def _is_own(self, headers: Headers) -> bool:
        """Whether a page of this server asks, or no page."""
        if headers.get("sec-fetch-site", "none") not in _OWN_SITE:
            return False
        origins = headers.getlist("origin")
        if not origins:
            return True
        # The scheme is not compared: whoever ends TLS before us asks by http
        own = {headers.get("host", "").lower(), self._address} - {""}
        try:
            return len(origins) == 1 and urlsplit(origins[0]).netloc.lower() in own
        except ValueError:
            return False


def _refused_reading(scope: Scope, headers: Headers) -> Refusal | None:
    """GraphQL by GET would change what a link says. Its page, for people, takes no query."""
    if not scope["path"].rstrip("/").endswith("/graphql"):
        return None
    if "text/html" in headers.get("accept", "") and not scope["query_string"]:
        return None
    return Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GraphQL is asked by POST, as JSON.")


def _media_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


class _Unframed:
    """Keeps pages out of frames of foreign ones: a click there would be ours by its origin, and theirs by its place."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-frame-options", b"SAMEORIGIN")]
            await send(message)

        await self._app(scope, receive, with_header)
