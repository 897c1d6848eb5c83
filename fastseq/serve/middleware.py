"""What every request passes: which hosts it may name, how many there are, and what may fail."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastseq.serve.limits import Limits, Refused
from fastseq.serve.metrics import Metrics
from fastseq.serve.responses import of_refusal

_SAFE = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Middleware:
    """Around an application: refuses, counts, sets headers, and reports failures.

    Parameters
    ----------
    app : ASGI application
    limits : Limits
    metrics : Metrics
    paths : collection of str
        Those that are counted under their own name.
    hosts : collection of str, optional
        The names that requests may call the server by, besides an IP address; by default any.
    report : Callable
        Takes what was raised where the server failed; clients are not told.

    Attributes
    ----------
    stopping : bool
        Whether clients are to close their connections.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        paths: Collection[str],
        hosts: Collection[str] | None,
        report: Callable[[Exception], None],
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._paths, self._hosts, self._report = frozenset(paths), hosts, report
        self._requests = 0
        self.stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(_SAFE)
                if self.stopping:
                    headers["connection"] = "close"
            await send(message)

        self._requests += 1
        try:
            self._check(scope)
            await self._app(scope, receive, send_safely)
        except Refused as refused:
            await of_refusal(refused)(scope, receive, send_safely)
        except Exception as error:  # the client was sent a response that says no more than that
            self._report(error)
        finally:
            self._requests -= 1
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.count_request(path, status, time.perf_counter() - began)

    def _check(self, scope: Scope) -> None:
        """Refuse a request before anything of it is read."""
        if self._requests > self._limits.requests:
            message = (
                f"{self._limits.requests:,} requests are being answered; try again in a second"
            )
            raise Refused(429, message)
        if self._hosts is not None:
            host = host_name(Headers(scope=scope).get("host", ""))
            if host not in self._hosts and not _is_address(host):
                expected = f"an IP address or one of {', '.join(sorted(self._hosts))}"
                raise Refused.field("Host", expected, repr(host[:60]), status=421)


def host_name(host: str) -> str:
    """The name in a header ``Host``, without the port, in lower case."""
    name = host.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
