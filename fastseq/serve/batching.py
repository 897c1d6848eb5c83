"""Texts of several requests answered together, by one thread beside the event loop.

The thread takes what waits as soon as it is idle: a text that comes alone is answered at once, and
those that come meanwhile make the next batch. An answer does not depend on the others of its batch.
All state belongs to the event loop; the thread gets sources and returns results.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fastseq.serve.limits import Limits, Refused
from fastseq.serve.metrics import Metrics
from fastseq.serve.model import Result, Search
from fastseq.transducer.data.forms import Text

# A batch is small enough that those who come next do not wait long: about 10 ms of usual models.
_HYPOTHESES_AT_ONCE = 256
_CHARACTERS_AT_ONCE = 2**14  # of all hypotheses, since the time grows with the length
_MAPS_AT_ONCE = 8  # which are computed one at a time, and slowly
_RETRY_AFTER = "; try again in a second"


class _Job:
    """The texts of one request.

    Parameters
    ----------
    sources : sequence of str, or of sequences of str
    sizes : sequence of int
        How many characters each has.

    Attributes
    ----------
    results : list of Result or Exception, or None where there is none yet
    begun : int
        How many of the sources were given to the thread.
    done : Future
        Set when all are there.
    """

    def __init__(self, sources: Sequence[Text], sizes: Sequence[int]) -> None:
        self.sources, self.sizes = sources, sizes
        self.results: list[Result | Exception | None] = [None] * len(sources)
        self.begun = 0
        self._missing = len(sources)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def waiting(self) -> int:
        return 0 if self.done.done() else len(self.sources) - self.begun

    def put(self, place: int, result: Result | Exception) -> None:
        self.results[place] = result
        self._missing -= 1
        if self._missing == 0 and not self.done.done():
            self.done.set_result(None)


class Batching:
    """The queue of texts, and the thread that answers them.

    Parameters
    ----------
    limits : Limits
    metrics : Metrics
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._limits, self._metrics = limits, metrics
        # one queue for each way to search, in the order of their turns
        self._queues: dict[Search, deque[_Job]] = {}
        self._waiting = 0
        self._arrived = asyncio.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fastseq-answers")

    @property
    def waiting(self) -> int:
        """How many texts the thread has not begun."""
        return self._waiting

    async def answer(
        self, search: Search, sources: Sequence[Text], sizes: Sequence[int]
    ) -> list[Result]:
        """Wait for the answers to some sources.

        Parameters
        ----------
        search : Search
        sources : sequence of str, or of sequences of str
        sizes : sequence of int
            How many characters each has.

        Raises
        ------
        Refused
            The queue is full, or the answers took too long.
        Exception
            What the model raised.
        """
        if self._waiting + len(sources) > self._limits.queue:
            message = f"{self._waiting:,} texts are waiting already{_RETRY_AFTER}"
            raise Refused(429, message)
        if not sources:
            return []
        job = _Job(sources, sizes)
        self._queues.setdefault(search, deque()).append(job)
        self._waiting += len(sources)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._limits.seconds):
                await job.done
        except TimeoutError:
            took = f"within {self._limits.seconds:g} seconds"
            if job.begun:
                raise Refused(504, f"the answers were not there {took}") from None
            raise Refused(503, f"the texts were not begun {took}{_RETRY_AFTER}") from None
        finally:  # what is left of a request that is given up is not computed
            self._waiting -= len(job.sources) - job.begun
            job.done.cancel()
        results: list[Result] = []
        for result in job.results:
            if isinstance(result, Exception):
                raise result
            assert result is not None
            results.append(result)
        return results

    async def run(self) -> None:
        """Answer what comes, until `close`; what waits then is answered before it returns."""
        loop = asyncio.get_running_loop()
        with self._thread:
            while not (self._closed and not self._queues):
                self._arrived.clear()
                if not self._queues:
                    await self._arrived.wait()
                    continue
                search, batch = self._take()
                if not batch:
                    continue
                sources = [job.sources[place] for job, place in batch]
                results = await loop.run_in_executor(self._thread, _answer, search, sources)
                self._metrics.count_batch(search.model.name, len(batch))
                for (job, place), result in zip(batch, results, strict=True):
                    job.put(place, result)

    def close(self) -> None:
        """Let `run` return when the queue is empty."""
        self._closed = True
        self._arrived.set()

    def _take(self) -> tuple[Search, list[tuple[_Job, int]]]:
        """The next batch: sources of one way to search, as jobs and places.

        Each request has its share, so that a short one need not wait for a long one.
        """
        search, jobs = next(iter(self._queues.items()))
        del self._queues[search]
        at_once = _MAPS_AT_ONCE if search.attention else _HYPOTHESES_AT_ONCE
        most = max(1, at_once // search.beam)
        batch: list[tuple[_Job, int]] = []
        characters = 0
        in_turn = min(len(jobs), most)
        share = max(1, most // in_turn)
        for _ in range(in_turn):
            job = jobs.popleft()
            for place in range(job.begun, job.begun + min(share, job.waiting)):
                characters += job.sizes[place] * search.beam
                if batch and characters > _CHARACTERS_AT_ONCE:
                    break
                batch.append((job, place))
                job.begun += 1
                self._waiting -= 1
            if job.waiting:
                jobs.append(job)
        if jobs:
            self._queues[search] = jobs  # at the end
        return search, batch


def _answer(search: Search, sources: Sequence[Text]) -> list[Result | Exception]:
    """The result of each source, or why there is none: a source must not fail because of others."""
    with contextlib.suppress(Exception):
        return list(search.answer(sources))
    results: list[Result | Exception] = []
    for source in sources:
        try:
            results += search.answer([source])
        except Exception as error:
            results.append(error)
    return results
