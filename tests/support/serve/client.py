"""A server in a thread of the tests, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fastseq.serve.app import create
from fastseq.serve.limits import Limits
from fastseq.serve.model import Model
from fastseq.serve.server import Server, listen, url_of

_SECONDS = 60


class Answer(NamedTuple):
    """A response; the document is None where it is no JSON."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """What is said of a request that is refused; nothing of the server's inside is in it."""
        assert self.headers["content-type"] == "application/json"
        assert b"Traceback" not in self.body
        error: dict[str, Any] = self.document["error"]
        assert error["status"] == self.status
        assert len(error["message"].splitlines()) == 1
        return error


class Client:
    """Requests to a server, each on a connection of its own.

    Attributes
    ----------
    reports : list of Exception
        What was raised in a server of this process.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.reports: list[Exception] = []
        self._place = urlsplit(url).netloc

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._place, timeout=_SECONDS)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; underscores in the names of headers are hyphens."""
        with contextlib.closing(self.connect()) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return send(connection, method, path, body, named)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, body: bytes) -> Answer:
        return self.request("POST", "/v1/predict", body, content_type="application/json")

    def predict(self, **fields: Any) -> Answer:
        return self.post(json.dumps(fields).encode())

    def metric(self, line: str) -> float:
        """The value of a metric, by its name and labels."""
        text = self.get("/metrics").body.decode()
        lines = dict(each.rsplit(" ", 1) for each in text.splitlines())
        return float(lines.get(line, 0))

    def wait_for(self, line: str, least: float) -> None:
        """Wait until a metric is as large."""
        until(lambda: self.metric(line) >= least)


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send a request on a connection, which stays open."""
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    received = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, received, response.read())


@contextlib.contextmanager
def serving(
    models: Sequence[Model], hosts: Collection[str] | None = None, **limits: Any
) -> Iterator[Client]:
    """A server, until the end of the block."""
    with listen("127.0.0.1", 0) as sock:
        client = Client(url_of(sock))
        app = create(models, Limits(**limits), hosts, client.reports.append)
        server = Server(app, Limits(**limits))
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            yield client
        finally:
            server.should_exit = True
            thread.join(_SECONDS)
    assert not thread.is_alive()
