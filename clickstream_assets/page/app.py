"""The analysts' page as a web application: its addresses, and what keeps it to itself.

It answers GET and HEAD alone, loads nothing from elsewhere and runs no script. Whatever an event said is text:
templates escape all they are given, and nothing of it becomes a link to elsewhere.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from elastic_transport import TransportError
from elasticsearch import ApiError, Elasticsearch
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from thriftpy2.thrift import TException

from clickstream_assets.events.shown_text import printable
from clickstream_assets.evidence.lineage import topic_fields
from clickstream_assets.page import explaining, lineage_picture, words
from clickstream_assets.page.dimension_choice import SPECIAL
from clickstream_assets.page.invalid_address import InvalidAddress, cut
from clickstream_assets.page.queries import PageQueries, SearchFailed
from clickstream_assets.page.screens import hour_screen, overview_screen
from clickstream_assets.page.view import Overview, Page
from clickstream_assets.settings import Settings
from clickstream_assets.stores.elasticsearch.client import elasticsearch_client
from clickstream_assets.stores.sign_in import SignInRefused
from clickstream_assets.webserver.guard import Guard

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_STATIC = Path(__file__).with_name("static")
_READING = {"GET", "HEAD"}
_ANSWER_SECONDS = 25


def connect(configured: Settings) -> Elasticsearch:
    """A client for one request; raises :class:`SignInRefused`, or OSError where nobody answers."""
    return elasticsearch_client(configured.elasticsearch_url, request_timeout=_ANSWER_SECONDS, max_retries=0)


class Pages:
    """What each address answers. ``clock`` says what time it is; ``client`` opens a client of Elasticsearch."""

    def __init__(
        self,
        configured: Settings,
        client: Callable[[], Elasticsearch] | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._configured, self._clock = configured, clock
        self._client = client or partial(connect, configured)
        self._templates = _templates(configured)

    def overview(self, request: Request) -> Response:
        now = self._clock()
        view = Overview.of(request.query_params, now.date(), self._configured.url_rules)
        with self._client() as es:
            seen = PageQueries(es, self._configured).overview(view, now.date())
        return self._answer("overview.html", overview_screen(view, seen, now))

    def hour(self, request: Request) -> Response:
        page = Page.of(request.query_params, self._configured.url_rules)
        with self._client() as es:
            seen = PageQueries(es, self._configured).hour(page)
        return self._answer("hour.html", hour_screen(page, seen, self._clock()))

    def explain(self, request: Request) -> Response:
        page = Page.of(request.query_params, self._configured.url_rules)
        if not (page.choice.url and page.choice.country):
            raise InvalidAddress("One number is of one url and one country: name both, as url=… and country=….")
        with self._client() as es:
            found = explaining.explained(es, self._configured, page)
        at = datetime.fromtimestamp(page.hour * 3_600, UTC)
        people = explaining.people(found)
        return self._answer("explain.html", {"page": page, "found": found, "people": people, "at": at})

    def lineage(self, request: Request) -> Response:
        asked = request.query_params
        of, name = asked.get("of", "hour"), asked.get("field", "clicks")
        if of not in lineage_picture.INDICES:
            raise InvalidAddress(f"of={cut(of)} has no numbers: write one of {', '.join(lineage_picture.INDICES)}.")
        if name not in (names := lineage_picture.fields(of)):
            raise InvalidAddress(f"field={cut(name)} is no field of a document: write one of {', '.join(names)}.")
        given = {"name": name, "of": of, "picture": lineage_picture.picture(name, of), "names": names}
        return self._answer("lineage.html", given | {"sent": topic_fields(lineage_picture.INDICES[of], name)})

    def ready(self, _: Request) -> Response:
        """Whether Elasticsearch answers to the one right that this page needs: to read."""
        with self._client() as es:
            es.search(index=self._configured.alias, ignore_unavailable=True, size=0)
        return PlainTextResponse("ready\n")

    def _answer(self, template: str, given: Mapping[str, Any], status: int = 200) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(given), status)

    def refused(self, _: Request, error: Exception) -> Response:
        """An address that says nothing to show."""
        return self._sorry("That address cannot be shown", str(error), 400)

    def unexplained(self, _: Request, error: Exception) -> Response:
        return self._sorry("This number cannot be explained just now", str(error), 503)

    def unreachable(self, _: Request, error: Exception) -> Response:
        """A store that does not answer, or not to us; what it said is for the log."""
        click.echo(f"Elasticsearch or HBase: {printable(str(error))[:1_000]}", err=True)
        words = "The store of the numbers does not answer, so there is nothing to show. Try again in a minute. "
        remedy = "If it stays so, tell whoever runs the pipeline: `clickstream doctor` says what is wrong."
        return self._sorry("No numbers just now", words + remedy, 503)

    def broken(self, _: Request, __: Exception) -> Response:
        """A fault of ours, which goes to the log; this answer passes by what adds the headers."""
        answer = self._sorry("This page has a fault", "Tell whoever runs the pipeline: it is in the page's log.", 500)
        answer.headers.update(HEADERS)
        return answer

    def _sorry(self, title: str, words: str, status: int) -> Response:
        return self._answer("sorry.html", {"title": title, "words": words}, status)

    def missing(self, _: Request, __: Exception) -> Response:
        return self._sorry("There is no such page", "Begin with the overview.", 404)


def application(pages: Pages, hosts: frozenset[str]) -> Starlette:
    """The page for those who ask it by one of ``hosts``."""
    failures = (ApiError, TransportError, TException, SearchFailed, SignInRefused, OSError)
    return Starlette(
        routes=[
            Route("/", pages.overview),
            Route("/hour", pages.hour),
            Route("/explain", pages.explain),
            Route("/lineage", pages.lineage),
            Route("/ready", pages.ready),
            Route("/alive", _alive),
            Route("/page.css", _style),
            Route("/icon.svg", _icon),
        ],
        middleware=[Middleware(_Closed), Middleware(Guard, hosts=hosts), Middleware(GZipMiddleware)],
        exception_handlers={
            404: pages.missing,
            500: pages.broken,
            InvalidAddress: pages.refused,
            explaining.NotExplained: pages.unexplained,
            **dict.fromkeys(failures, pages.unreachable),
        },
    )


def _alive(_: Request) -> Response:
    return PlainTextResponse("alive\n")


def _style(_: Request) -> Response:
    return FileResponse(_STATIC / "page.css", media_type="text/css")


def _icon(_: Request) -> Response:
    return FileResponse(_STATIC / "icon.svg", media_type="image/svg+xml")


class _Closed:
    """Answers nothing but GET and HEAD, and says to browsers what a page of ours may do: nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] == "http" and scope["method"] not in _READING:
            words = "This page is read, and changes nothing: ask it by GET.\n"
            await PlainTextResponse(words, 405, {"allow": "GET, HEAD"})(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _templates(configured: Settings) -> Environment:
    made = Environment(
        loader=PackageLoader("clickstream_assets.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": words.number,
        "duration": words.duration,
        "people": words.of_people,
        "printable": printable,
        "clock": words.clock,
        "hour": words.hour_of,
        "day": words.day_of,
        "short": explaining.short,
    }
    made.globals |= {
        "dagster": configured.page_links_to,
        "special_values": SPECIAL,
        "ends": explaining.ENDS,
        "left_out": explaining.LEFT_OUT,
        "titles": lineage_picture.TITLES,
        "box": (lineage_picture.BOX_WIDTH, lineage_picture.BOX_HEIGHT),
    }
    return made
