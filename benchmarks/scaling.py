"""What a step of data-parallel training takes, and what that means for 2 to 64 hosts.

Measures, on the ranks that it is started on, the gradients of a shard, the update, and the sums of
shards (`fastseq.transducer.training.shards`); then prints a model of the step on hosts that are
connected by 10 and by 100 Gbit/s:

    python benchmarks/scaling.py
    mpiexec -n 4 python benchmarks/scaling.py --threads 1

The model: a step on R hosts takes the gradients of one shard, the update, and a sum, in which a
host receives (R - 1) / R of the gradients twice, at the given bandwidth, in 2 (R - 1) messages.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastseq import set_num_threads
from fastseq.optim import Adam
from fastseq.parallel.communicator import Communicator
from fastseq.parallel.mpi import started_ranks
from fastseq.transducer.network.network import Batch, Network, NetworkConfig
from fastseq.transducer.training.shards import Shards

SYMBOLS, LENGTH = 40, 12
HOSTS = (1, 2, 4, 8, 16, 32, 64)
# bits a second, and the seconds of a message: TCP over Ethernet, RDMA
NETWORKS = {"10 Gbit/s": (10e9, 50e-6), "100 Gbit/s": (100e9, 5e-6)}


def least(function: Callable[[], object], clock: Callable[[], float], count: int) -> float:
    """The least time of a call."""
    times = []
    for _ in range(count):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def batch_of(rows: int) -> Batch:
    """Words of one length."""
    draw = np.random.default_rng(0)
    ids, lengths = draw.integers(3, SYMBOLS, (3, rows, LENGTH)), np.full(rows, LENGTH)
    return Batch(ids[0], lengths, ids[1], ids[2], lengths)


def sum_time(ranks: Communicator, parameters: int, count: int) -> float:
    """The seconds of a sum of the gradients of so many parameters, one shard a rank."""
    rows, symbols = np.arange(2 * ranks.size), np.ones(2 * ranks.size, np.int64)
    shards = Shards([np.ones(parameters, np.float32)], ranks.size, ranks)

    def nothing(rows: Any, generator: Any) -> float:
        return 0.0

    return least(lambda: shards.sum(rows, symbols, 0, nothing, False), time.perf_counter, count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32, 128], help="of a shard")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    arguments = parser.parse_args()
    set_num_threads(arguments.threads)
    ranks = started_ranks()
    config = NetworkConfig(SYMBOLS, SYMBOLS, hidden_size=arguments.hidden_size)
    network = Network(config, np.random.default_rng(0))
    params, grads = list(network.params.values()), list(network.grads.values())
    size = sum(param.size for param in params)
    optimizer = Adam()
    # of one thread the processor's time: other programs do not count
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    gradients = {}
    for rows in arguments.rows:
        batch = batch_of(rows)

        def step(batch: Batch = batch) -> None:
            network.loss(batch)
            network.backward()

        gradients[rows] = least(step, clock, arguments.count)
    update = least(lambda: optimizer.update(params, grads), clock, arguments.count)
    summed = sum_time(ranks, size, arguments.count)
    short = sum_time(ranks, 2 * ranks.size, arguments.count)
    if ranks.rank:
        return
    print(f"{size:,} parameters, {4 * size / 1e6:.1f} MB; {arguments.threads} threads a rank")
    for rows, seconds in gradients.items():
        print(f"gradients of {rows:4} rows    {1e3 * seconds:8.2f} ms")
    print(f"update                   {1e3 * update:8.2f} ms")
    share = (ranks.size - 1) / ranks.size
    print(
        f"sum on {ranks.size} ranks here      {1e3 * summed:8.2f} ms, of which without numbers "
        f"{1e3 * short:.2f} ms; received {8 * share * size / 1e6:.1f} MB a rank"
    )
    for name, (bandwidth, latency) in NETWORKS.items():
        print(f"\n{name}, {1e6 * latency:.0f} us a message: ms a step, and speed as a multiple")
        print("hosts" + "".join(f"{rows:12} rows" for rows in gradients))
        for hosts in HOSTS:
            received = 8 * size * (hosts - 1) / hosts
            total = 8 * received / bandwidth + 2 * (hosts - 1) * latency
            cells = ""
            for seconds in gradients.values():
                taken = seconds + update + total
                cells += f"{1e3 * taken:9.1f} {hosts * (seconds + update) / taken:5.1f} x"
            print(f"{hosts:5}{cells}")


if __name__ == "__main__":
    main()
