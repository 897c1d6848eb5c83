"""uvicorn, set up for this application: a socket, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket

import uvicorn

from fastseq.serve.limits import Limits
from fastseq.serve.middleware import Middleware

_WAITING_CONNECTIONS = 2048
# More than the 60 of usual proxies: of the two, the one that sends requests is to close.
_IDLE_SECONDS = 75
# While clients learn, with the answers to their last requests, that connections are being closed.
_LAST_REQUESTS_SECONDS = 0.25


class Server(uvicorn.Server):
    """A server that ends on SIGTERM or SIGINT, once all accepted requests are answered.

    Parameters
    ----------
    app : Middleware
    limits : Limits
    """

    def __init__(self, app: Middleware, limits: Limits) -> None:
        self._app = app
        config = uvicorn.Config(
            app,
            lifespan="on",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE_SECONDS,
            # to read a request, to answer it, and to send the answer
            timeout_graceful_shutdown=math.ceil(2 * limits.seconds) + 5,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        logging.getLogger("uvicorn.access").propagate = False
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End: no new connections, then no new requests, then nothing."""
        self._app.stopping = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(_LAST_REQUESTS_SECONDS)
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Parameters
    ----------
    host : str
        An address, or a name that has one.
    port : int
        0 for any that is free.

    Raises
    ------
    OSError
        The message names host and port.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with contextlib.ExitStack() as stack:
            sock = stack.enter_context(socket.socket(family, kind, protocol))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(_WAITING_CONNECTIONS)
            stack.pop_all()
            return sock
    except OSError as error:
        raise OSError(f"--host {host} --port {port}: {error.strerror or error}") from error


def url_of(sock: socket.socket) -> str:
    """The address of a socket that listens, for a browser."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(sock: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    host: str = sock.getsockname()[0]
    return host == "::1" or host.startswith("127.")
