"""Dagster's own webserver behind :class:`Guard`, by its own command and options.

Its command has no place for middleware. So it is given our class of webserver, by the name that it makes one by, and a
``uvicorn.run`` that serves no application without a guard. Where an upgrade of Dagster has changed the former, nothing
is served; ``webserver/test_dagsters.py`` in the tests fails then, too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import Any

import click
import uvicorn
from dagster_webserver import app as dagsters_app
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from clickstream_assets.settings import settings
from clickstream_assets.webserver.guard import Guard


class GuardedWebserver(DagsterWebserver):
    """Dagster's webserver, asked by the names that the settings know."""

    def build_middleware(self) -> list[Middleware]:
        configured = settings()
        guard = Middleware(Guard, hosts=configured.dagster_host_names, address=configured.dagster_url)
        return [guard, *super().build_middleware()]


@contextmanager
def guarded() -> Iterator[None]:
    """Within, Dagster's command serves its webserver with a guard, or raises ClickException."""
    with _replaced(dagsters_app, "DagsterWebserver", GuardedWebserver), _replaced(uvicorn, "run", _guarded_alone()):
        yield


def _guarded_alone() -> Callable[..., None]:
    serve = uvicorn.run

    def run(app: Any, **options: Any) -> None:
        if not any(middleware.cls is Guard for middleware in getattr(app, "user_middleware", ())):
            raise _changed()
        serve(app, **options)

    return run


@contextmanager
def _replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    if not hasattr(module, name):
        raise _changed()
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)


def _changed() -> click.ClickException:
    return click.ClickException(
        f"dagster-webserver {version('dagster-webserver')} starts in another way than we know, and would take changes "
        "from any web page: it is not started. Go back to the version of requirements.lock, or mend "
        "clickstream_assets/webserver/dagsters.py."
    )
