"""The application: paths, and what each of them answers. Any ASGI server runs it."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from fastseq.serve import document, page, query
from fastseq.serve.batching import Batching
from fastseq.serve.limits import Limits, Refused
from fastseq.serve.metrics import CONTENT_TYPE, Metrics
from fastseq.serve.middleware import Middleware
from fastseq.serve.model import Model
from fastseq.serve.responses import of_document, of_refusal

_JSON = "application/json"


class Service:
    """What answers requests.

    Parameters
    ----------
    models : sequence of Model
        At least one, of different names; the first answers where a request names none.
    limits : Limits
    """

    def __init__(self, models: Sequence[Model], limits: Limits) -> None:
        self.models = {model.name: model for model in models}
        self.limits = limits
        self.metrics = Metrics()
        self._batching = Batching(limits, self.metrics)
        self.metrics.waiting = lambda: self._batching.waiting
        self._answering: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        """Answer while the block runs; what was accepted in it is answered before it ends."""
        self._answering = asyncio.create_task(self._batching.run())
        yield
        self._batching.close()
        await self._answering

    async def predict(self, request: Request) -> Response:
        """``POST /v1/predict``."""
        _check_headers(request)
        try:
            async with asyncio.timeout(self.limits.seconds):
                body = await self._body(request)
        except TimeoutError:
            message = f"the request was not there within {self.limits.seconds:g} seconds"
            raise Refused(408, message) from None
        asked = query.read(document.parse(body), self.models, self.limits)
        results = await self._batching.answer(
            asked.search, asked.sources, [len(text) for text in asked.texts]
        )
        self.metrics.count_marked(
            asked.search.model.name,
            unknown=sum(bool(result.unknown) for result in results),
            cut=sum(answer.cut for result in results for answer in result.answers),
        )
        documents = [
            result.to_json(text, asked.scores)
            for text, result in zip(asked.texts, results, strict=True)
        ]
        return of_document({"model": asked.search.model.name, "results": documents})

    async def list_models(self, request: Request) -> Response:
        """``GET /v1/models``."""
        models = [model.describe() for model in self.models.values()]
        return of_document({"models": models, "limits": self.limits.to_json()})

    async def health(self, request: Request) -> Response:
        """``GET /health``."""
        if self._answering is None or self._answering.done():
            raise Refused(503, "texts are not answered: the thread that does has ended")
        return of_document({"status": "ok"})

    async def show_metrics(self, request: Request) -> Response:
        """``GET /metrics``."""
        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _body(self, request: Request) -> bytes:
        most = self.limits.body
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > most:
            raise _too_large(most, f"{announced[:20]} bytes")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise _too_large(most, "more")
        return bytes(body)


def create(
    models: Sequence[Model],
    limits: Limits,
    hosts: Collection[str] | None = None,
    report: Callable[[Exception], None] = traceback.print_exception,
) -> Middleware:
    """The whole application.

    Parameters
    ----------
    models : sequence of Model
    limits : Limits
    hosts, report
        As in `fastseq.serve.middleware.Middleware`.
    """
    service = Service(models, limits)

    def static(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return Response(content, media_type=media_type)

        return answer

    routes = [
        Route("/v1/predict", service.predict, methods=["POST"]),
        Route("/v1/models", service.list_models),
        Route("/health", service.health),
        Route("/metrics", service.show_metrics),
        *(Route(path, static(*file)) for path, file in page.files(models, limits).items()),
    ]
    app = Starlette(
        routes=routes,
        lifespan=service.running,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            ClientDisconnect: _disconnected,
            Exception: _failed,  # which is raised again, so that the middleware reports it
        },
    )
    app.router.redirect_slashes = False
    paths = [route.path for route in routes]
    return Middleware(app, limits, service.metrics, paths, hosts, report)


def _check_headers(request: Request) -> None:
    """Require JSON.

    A page of another origin may not send that type without permission, which it does not get here.
    """
    media_type = request.headers.get("content-type", "")
    if media_type.partition(";")[0].strip().lower() != _JSON:
        got = repr(media_type[:60]) if media_type else "none"
        raise Refused.field("Content-Type", _JSON, got, status=415)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Refused.field("Content-Encoding", "none", repr(encoding[:60]), status=415)


def _too_large(most: int, got: str) -> Refused:
    return Refused.field("body", f"at most {most:,} bytes", got, status=413)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return of_refusal(error)


def _http_error(request: Request, error: Exception) -> Response:
    """What starlette itself refuses: another path or method."""
    assert isinstance(error, HTTPException)
    method, path = request.method[:20], request.url.path[:60]
    message = {404: f"there is no {path!r}", 405: f"{path!r} has no method {method!r}"}
    refused = Refused(error.status_code, message.get(error.status_code, error.detail))
    response = of_refusal(refused)
    response.headers.update(error.headers or {})
    return response


def _disconnected(request: Request, error: Exception) -> Response:
    """The client has gone, so that no one reads this."""
    return of_refusal(Refused(400, "the request ended before its end"))


def _failed(request: Request, error: Exception) -> Response:
    return of_refusal(Refused(500, "the server failed; its log says why"))
