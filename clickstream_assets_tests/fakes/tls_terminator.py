"""TLS in front of a server that speaks none: a stand-in for what companies put there, like stunnel or Envoy.

For tests alone: HBase's binary Thrift protocol and Spark Connect can be had with TLS in no other way.
"""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_CHUNK = 1 << 16


@contextmanager
def tls_terminator(
    port: int, certificate: Path, *, client_ca: Path | None = None, protocols: Sequence[str] = ()
) -> Iterator[int]:
    """The port at which a server's ``port`` is reached through TLS, for as long as the block lasts.

    ``certificate`` begins with its key. With ``client_ca`` clients have to show a certificate of that authority.
    ``protocols`` are offered by ALPN: gRPC's clients want ``h2``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # clients that go away in the middle of a handshake are what is tested
    thread = threading.Thread(target=loop.run_forever, name="tls-terminator", daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_listen(port, context), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _listen(port: int, context: ssl.SSLContext) -> asyncio.Server:
    async def serve(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            server, ask = await asyncio.open_connection(HOST, port)
            ways = [asyncio.ensure_future(_pass_on(client, ask)), asyncio.ensure_future(_pass_on(server, answer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                ask.close()
        answer.close()

    return await asyncio.start_server(serve, HOST, 0, ssl=context)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()


async def _close(server: asyncio.Server) -> None:
    server.close()
    ways = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)
