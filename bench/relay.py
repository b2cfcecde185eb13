"""`turnctl bench` beside `turnutils_uclient`, against one local coturn, in turn.

    .venv/bin/python bench/relay.py [RUNS]

Both hold 40 allocations and send 170 bytes. uclient sends to `turnutils_peer`, which returns each
packet: it crosses the relay twice. turnctl sends from relay to relay and back: four times. Packets
are those that arrived, out and back. Target: at least half of uclient's.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.lab import coturn
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL, write_ice_servers

ALLOCATIONS = 40
MESSAGES = 3000
SIZE = 170
SECONDS = 5

RECEIVED = re.compile(r"^(\d+): : start_mclient: msz=.*tot_recv_msgs=(\d+)", re.MULTILINE)
TOTALS = re.compile(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)\s*$", re.MULTILINE)
TRANSMIT = re.compile(r"Total transmit time is (\d+)")


@contextlib.contextmanager
def peer(address: str) -> Iterator[int]:
    """turnutils_peer, which returns what it gets; its port."""
    port = free_port()
    process = subprocess.Popen(
        ["turnutils_peer", "-p", str(port), "-L", address],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.5)  # it says nothing when it is ready
        yield port
    finally:
        process.kill()
        process.wait()


def uclient(server: coturn.Server, peer_port: int) -> tuple[float, float]:
    """Packets a second: on average, and in its best second."""
    options = f"-n {MESSAGES} -m {ALLOCATIONS} -l {SIZE} -z 1 -c -u bench".split()
    ends = ["-e", server.host, "-r", str(peer_port), "-p", str(server.port), server.host]
    argv = ["turnutils_uclient", *options, "-W", server.secret, *ends]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    said = done.stdout + done.stderr
    totals, seconds = TOTALS.findall(said), TRANSMIT.search(said)
    if not totals or not seconds:
        sys.exit(f"turnutils_uclient did not finish:\n{said[-2000:]}")
    at = [(int(second), int(count)) for second, count in RECEIVED.findall(said)]
    best = max((b[1] - a[1]) / max(1, b[0] - a[0]) for a, b in itertools.pairwise(at))
    return sum(map(int, totals[-1])) / int(seconds[1]), 2 * best


def turnctl(path: str) -> tuple[float, str]:
    """Packets a second, and what uclient does not tell."""
    shape = f"--pairs {ALLOCATIONS // 2} --size {SIZE} --duration {SECONDS} --format json".split()
    done = subprocess.run(
        [TURNCTL, "bench", *shape, path], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 0:
        sys.exit(f"turnctl bench ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    (row,) = json.loads(done.stdout)["urls"]
    told = ", ".join(f"{name} {value} ms" for name, value in row["rttMs"].items())
    lost = f"{row['lossRatio']:.2%} lost"
    return row["packetsPerSecond"], f"{told}; {lost}; {row['allocations']['perSecond']} alloc/s"


def main(runs: int) -> None:
    average: list[float] = []
    best: list[float] = []
    ours: list[float] = []
    told = ""
    address = coturn.own_address()
    with (
        tempfile.TemporaryDirectory() as folder,
        coturn.running(address) as server,
        peer(address) as peer_port,
    ):
        for _ in range(runs):
            path = write_ice_servers(
                Path(folder) / "ice.json", [server.uri("udp")], server.credential()
            )
            packets, told = turnctl(path)
            ours.append(packets)
            for figures, one in zip((average, best), uclient(server, peer_port), strict=True):
                figures.append(one)
    for name, values in (
        ("turnctl bench, 20 pairs", ours),
        ("turnutils_uclient -m 40, average", average),
        ("turnutils_uclient -m 40, its best second", best),
    ):
        middle, least, most = statistics.median(values), min(values), max(values)
        print(f"{name:42} median {middle:7.0f} packets/s   {least:.0f} to {most:.0f}")
    for name, theirs in (("average", average), ("best second", best)):
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(f"{f'turnctl / uclient, {name}':42} median {ratio:7.2f}")
    print(f"round trips of turnctl's last run: {told}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
