"""Under load: a full queue, time limits, fair turns, memory; and the end of the server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from fastseq import Transducer
from fastseq.serve.model import Model, Result, Search
from support.processes import one_line, start_fastseq
from support.serve.client import Answer, Client, send, serving, until
from support.transducer.tiny_transducer import tiny_pairs

JSON = {"content-type": "application/json"}
RESIDENT = "process_resident_memory_bytes"

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process at once")


class Gated(Model):
    """A model that answers when it may, and keeps the batches."""

    def __init__(self, predictor: Transducer) -> None:
        super().__init__("gated", predictor)
        self.gate = threading.Event()
        self.batches: list[list[Any]] = []

    def answer(self, search: Search, sources: Sequence[Any]) -> list[Result]:
        self.batches.append(list(sources))
        assert self.gate.wait(60)
        return super().answer(search, sources)


@pytest.fixture
def gated(transducer: Transducer) -> Gated:
    return Gated(transducer)


def test_a_full_queue_is_429_and_empties_again(gated: Gated) -> None:
    with serving([gated], queue=5) as client, ThreadPoolExecutor(8) as threads:
        first = threads.submit(client.predict, text="a")
        until(lambda: gated.batches)
        others = threads.submit(client.predict, texts=["b"] * 3)
        client.wait_for("fastseq_queue_texts", 3)
        answer = client.predict(texts=["c"] * 3)
        assert answer.status == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.error["message"] == "3 texts are waiting already; try again in a second"
        last = threads.submit(client.predict, texts=["c"] * 2)
        client.wait_for("fastseq_queue_texts", 5)
        gated.gate.set()
        assert [each.result().status for each in (first, others, last)] == [200] * 3
        assert client.predict(texts=["c"] * 5).status == 200
        assert client.metric("fastseq_queue_texts") == 0


def test_too_many_requests_are_429(gated: Gated) -> None:
    with serving([gated], requests=2) as client, ThreadPoolExecutor(2) as threads:
        first = threads.submit(client.predict, text="a")
        until(lambda: gated.batches)
        second = threads.submit(client.predict, text="b")
        until(lambda: client.get("/health").status == 429)
        gated.gate.set()
        assert first.result().status == second.result().status == 200
        assert client.get("/health").status == 200


def test_what_takes_too_long_is_given_up(gated: Gated) -> None:
    with serving([gated], seconds=0.4) as client, ThreadPoolExecutor(2) as threads:
        begun = threads.submit(client.predict, text="a")
        until(lambda: gated.batches)
        waiting = client.predict(texts=["b", "c"])
        assert (waiting.status, waiting.headers["retry-after"]) == (503, "1")
        assert waiting.error["message"].startswith("the texts were not begun within 0.4 seconds")
        assert begun.result().status == 504
        assert begun.result().error["message"] == "the answers were not there within 0.4 seconds"
        assert client.metric("fastseq_queue_texts") == 0
        gated.gate.set()
        assert client.predict(text="d").status == 200
        assert gated.batches == [["a"], ["d"]]  # what was given up is not computed


def test_a_request_that_never_ends_is_408(transducer: Transducer) -> None:
    with serving([Model("tiny", transducer)], seconds=0.2) as client:
        with contextlib.closing(client.connect()) as connection:
            connection.putrequest("POST", "/v1/predict")
            connection.putheader("content-type", "application/json")
            connection.putheader("content-length", "100")
            connection.endheaders(b"{")
            assert connection.getresponse().status == 408
        assert client.predict(text="a").status == 200


def test_a_short_request_does_not_wait_for_a_long_one(gated: Gated) -> None:
    with serving([gated]) as client, ThreadPoolExecutor(3) as threads:
        first = threads.submit(client.predict, text="a")
        until(lambda: gated.batches)
        long = threads.submit(client.predict, texts=["b"] * 1000)
        client.wait_for("fastseq_queue_texts", 1000)
        short = threads.submit(client.predict, text="c")
        client.wait_for("fastseq_queue_texts", 1001)
        gated.gate.set()
        assert [each.result().status for each in (first, long, short)] == [200] * 3
    assert gated.batches[1].count("b") == 128
    assert gated.batches[1].count("c") == 1
    assert sum(map(len, gated.batches)) == 1002


def test_long_texts_make_small_batches(gated: Gated) -> None:
    gated.gate.set()
    with serving([gated]) as client:
        assert client.predict(texts=["ab" * 500] * 40).status == 200
        assert client.predict(texts=["ab" * 500] * 9, beam=4).status == 200
    assert [len(batch) for batch in gated.batches] == [16, 16, 8, 4, 4, 1]


def test_a_client_that_goes_away_harms_no_other(gated: Gated) -> None:
    with serving([gated]) as client:
        for body in (b'{"text": "a"}', b'{"te'):
            with contextlib.closing(client.connect()) as connection:
                connection.putrequest("POST", "/v1/predict")
                connection.putheader("content-type", "application/json")
                connection.putheader("content-length", "13")
                connection.endheaders(body)
        until(lambda: gated.batches)
        gated.gate.set()
        assert client.predict(text="b").status == 200
        assert client.reports == []


@contextlib.contextmanager
def server_process(*arguments: str) -> Iterator[tuple[Client, subprocess.Popen[bytes]]]:
    process = start_fastseq("serve", *arguments, "--port", "0")
    try:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("serving "), process.communicate()
        yield Client(line.split()[-1]), process
    finally:
        process.kill()
        process.communicate()


@needs_signals
def test_sigterm_loses_no_request_that_was_accepted(model_file: Path) -> None:
    words = tiny_pairs()[0]
    answered = [0] * 8
    lost: list[str] = []
    with server_process(str(model_file)) as (client, process):

        def ask(place: int) -> None:
            """Ask on one connection, until the server says that it is the last time."""
            connection = client.connect()
            body = json.dumps({"texts": words, "beam": 2}).encode()
            while True:
                try:
                    answer = send(connection, "POST", "/v1/predict", body, JSON)
                except (OSError, HTTPException) as error:
                    lost.append(repr(error))
                    return
                if answer.status != 200 or len(answer.document["results"]) != len(words):
                    lost.append(repr(answer))
                    return
                answered[place] += 1
                if answer.headers.get("connection") == "close":
                    return

        threads = [threading.Thread(target=ask, args=(place,)) for place in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: all(answered))
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(60) == 0
        assert process.communicate()[1] == b""
    assert lost == []


@needs_signals
@pytest.mark.parametrize(
    ("number", "status", "said"), [("SIGTERM", 0, b""), ("SIGINT", 130, b"fastseq: interrupted\n")]
)
def test_an_idle_server_ends_at_once(
    model_file: Path, number: str, status: int, said: bytes
) -> None:
    with server_process(str(model_file)) as (client, process):
        connection = client.connect()
        assert send(connection, "GET", "/health").status == 200  # which stays open
        process.send_signal(getattr(signal, number))
        assert process.wait(5) == status
        assert process.communicate()[1] == said


def test_a_port_that_is_taken_is_one_line(model_file: Path) -> None:
    with server_process(str(model_file)) as (client, _):
        port = client.url.rstrip("/").rpartition(":")[2]
        second = start_fastseq("serve", str(model_file), "--port", port)
        error = one_line(second.communicate()[1].decode())
        assert second.returncode == 1
        assert error == (f"fastseq: error: --host 127.0.0.1 --port {port}: Address already in use")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc")
def test_memory_stays_flat_with_malformed_requests_among_good_ones(model_file: Path) -> None:
    good = json.dumps({"texts": tiny_pairs()[0][:5], "attention": True}).encode()
    bodies = [
        (good, 200),
        (b'{"text": "a"', 400),
        (b"\xff" * 5000, 400),
        (b'{"text": 1}', 422),
        (json.dumps({"text": "a" * 5000}).encode(), 413),
        (b"x" * 2**21, 413),
        (b"[" * 10**5, 400),
        (good, 200),
    ]
    with server_process(str(model_file)) as (client, process):

        def ask(count: int) -> None:
            with contextlib.closing(client.connect()) as connection:
                for number in range(count):
                    body, status = bodies[number % len(bodies)]
                    answer: Answer = send(connection, "POST", "/v1/predict", body, JSON)
                    assert answer.status == status

        def round_of(count: int) -> float:
            with ThreadPoolExecutor(4) as threads:
                list(threads.map(ask, [count] * 4))
            return client.metric(RESIDENT)

        first = round_of(40)
        last = [round_of(40) for _ in range(4)][-1]
        # a leak of a tenth of the large bodies would be more
        assert last - first < 8e6
        process.terminate()
        assert process.wait(60) == 0
        assert process.communicate()[1] == b""
