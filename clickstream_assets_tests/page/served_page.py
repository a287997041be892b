"""The page on a port of this machine, at the time of :mod:`.stored_days`."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from clickstream_assets.page.app import Pages, application
from clickstream_assets.settings import Settings
from clickstream_assets_tests.page import stored_days


@contextmanager
def served(configured: Settings) -> Iterator[str]:
    """Within, the page answers at the address that is given."""
    app = application(Pages(configured, clock=lambda: stored_days.NOW), configured.page_host_names)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        try:
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
