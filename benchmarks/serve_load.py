"""How fast `fastseq serve` answers, beside the same model called in process.

    python benchmarks/serve_load.py                        trains a small model of dates first
    python benchmarks/serve_load.py MODEL --texts FILE     another model; a text a line
    python benchmarks/serve_load.py --endurance 100000     also so many, malformed ones among them

Each connection sends one text and waits for the answer, again and again. The table has the time
from the first byte sent to the last one received: the median, and the 99th percentile. Lines are
measured in turn, in rounds, so that other programs slow all of them. Server and clients share the
processors of this machine. Every answer is compared with that of the model in process, and the
program fails where one differs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fastseq import Transducer
from fastseq.data import dates

CONNECTIONS = (1, 8, 64)
ROUNDS = 5
SECONDS = 1.0  # of each line in a round
MALFORMED = (
    (b'{"text": "a"', 400),
    (b"\xff\xfe", 400),
    (b'{"text": NaN}', 400),
    (b'{"text": "a", "text": "b"}', 400),
    (b"[" * 50_000, 400),
    (b'{"text": 1}', 422),
    (b'{"text": "\\ud800"}', 422),
    (b'{"text": "a", "beam": 1e9}', 422),
    (b'{"text": "' + b"a" * 2000 + b'"}', 413),
)
SHARE_MALFORMED = 0.1
PARTS = 10


class Request(NamedTuple):
    """A request, and what is to come.

    Attributes
    ----------
    body : bytes
    status : int
    answer : str or None
        None where any will do.
    """

    body: bytes
    status: int
    answer: str | None = None

    @classmethod
    def of(cls, text: str, answer: str) -> Request:
        return cls(json.dumps({"text": text}).encode(), 200, answer)


class Connection:
    """A connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str) -> bytes:
        self._writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        return (await self._receive())[1]

    async def check(self, request: Request) -> float:
        """Send a request, compare the answer; the seconds that it took."""
        head = (
            "POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            f"content-length: {len(request.body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self._writer.write(head.encode() + request.body)
        status, body = await self._receive()
        took = time.perf_counter() - began
        document = json.loads(body)
        if status != request.status:
            raise SystemExit(f"{request}: expected {request.status}, got {status}: {document}")
        if request.answer is not None:
            answer = document["results"][0]["answers"][0]["text"]
            if answer != request.answer:
                raise SystemExit(f"{request}: got {answer!r}")
        return took

    def close(self) -> None:
        self._writer.close()

    async def _receive(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head[9:12]), await self._reader.readexactly(length)


async def load(port: int, requests: Sequence[Request], connections: int) -> list[float]:
    """Send requests for some seconds; the seconds that each took."""
    end = time.perf_counter() + SECONDS
    times: list[float] = []

    async def client(number: int) -> None:
        connection = await Connection.open(port)
        place = number
        while time.perf_counter() < end:
            times.append(await connection.check(requests[place % len(requests)]))
            place += connections
        connection.close()

    await asyncio.gather(*map(client, range(connections)))
    return times


async def endure(port: int, requests: Sequence[Request], count: int) -> None:
    """Send so many requests, malformed ones among them; print what the server's memory is."""
    draw = random.Random(0)
    bad = [Request(*each) for each in MALFORMED]
    for part in range(PARTS):
        sent = [0, 0]

        async def client(count: int, sent: list[int] = sent) -> None:
            connection = await Connection.open(port)
            for _ in range(count):
                is_bad = draw.random() < SHARE_MALFORMED
                await connection.check(draw.choice(bad if is_bad else requests))
                sent[is_bad] += 1
            connection.close()

        numbers = range(part, count, PARTS)  # of the requests in this part
        connections = CONNECTIONS[-1]
        shares = [len(numbers[place::connections]) for place in range(connections)]
        await asyncio.gather(*map(client, shares))
        memory = await resident(port)
        print(f"{sent[0]:>9,} good, {sent[1]:>7,} malformed: {memory:6.1f} MB resident", flush=True)


async def resident(port: int) -> float:
    """The server's resident memory, in MB."""
    connection = await Connection.open(port)
    text = (await connection.get("/metrics")).decode()
    connection.close()
    [value] = [line for line in text.splitlines() if line.startswith("process_resident_memory")]
    return float(value.split()[1]) / 1e6


def in_process(model: Transducer, texts: Sequence[str]) -> list[float]:
    """Answer a text at a time for some seconds; the seconds that each took."""
    end = time.perf_counter() + SECONDS
    times: list[float] = []
    while time.perf_counter() < end:
        text = texts[len(times) % len(texts)]
        began = time.perf_counter()
        model.answers([text], unknown="ignore")
        times.append(time.perf_counter() - began)
    return times


def line(name: str, times: Sequence[float]) -> str:
    """A line of the table."""
    p50 = 1000 * statistics.median(times)
    p99 = 1000 * statistics.quantiles(times, n=100)[98]
    return f"| {name} | {p50:.2f} | {p99:.2f} | {len(times) / (ROUNDS * SECONDS):,.0f} |"


@contextlib.contextmanager
def server(model: Path, threads: int) -> Iterator[int]:
    """A server; its port."""
    command = [sys.executable, "-m", "fastseq", "serve", str(model), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--threads", str(threads)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
    finally:
        process.terminate()
        if process.wait() != 0:
            raise SystemExit(f"the server ended with status {process.returncode}")


def train(path: Path) -> None:
    """A model of dates, as large as that of the documentation."""
    sources, targets = zip(*dates.generate(3000, seed=0), strict=True)
    model = Transducer(hidden_size=64, epochs=8, learning_rate=0.005)
    model.fit(sources, targets).save(path)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", type=Path, metavar="MODEL")
    parser.add_argument("--texts", type=Path, metavar="FILE", help="default: dates")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--endurance", type=int, metavar="N", help="requests of the second part")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    options = parsed(arguments)
    with contextlib.ExitStack() as stack:
        path = options.model
        if path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = Path(folder) / "dates.safetensors"
            train(path)
        model = Transducer.load(path)
        if options.texts is None:
            texts = [source for source, _ in dates.generate(2000, seed=1)]
        else:
            texts = options.texts.read_text("utf-8").splitlines()
        answers = model.predict(texts, unknown="ignore")
        requests = [Request.of(*each) for each in zip(texts, answers, strict=True)]
        port = stack.enter_context(server(path, options.threads))
        alone: list[float] = []
        times: dict[int, list[float]] = {connections: [] for connections in CONNECTIONS}
        for _ in range(ROUNDS):
            alone += in_process(model, texts)
            for connections in CONNECTIONS:
                times[connections] += asyncio.run(load(port, requests, connections))
        print("| | p50, ms | p99, ms | a second |\n| --- | --- | --- | --- |")
        print(line("in process", alone))
        for connections in CONNECTIONS:
            plural = "s" if connections > 1 else ""
            print(line(f"{connections} connection{plural}", times[connections]), flush=True)
        if options.endurance is not None:
            asyncio.run(endure(port, requests, options.endurance))


if __name__ == "__main__":
    main()
