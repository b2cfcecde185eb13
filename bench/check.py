"""`turnctl check` as a whole command beside `turnutils_uclient`, against one local coturn.

    .venv/bin/python bench/check.py [RUNS]

Prints medians of whole-process wall times, taken in turn in one run, and the time to the last
candidate. Targets: check ≤ 1.0 s, four URLs over two families ≤ 1.5 s, help ≤ 0.15 s, gathering
≤ 50 ms.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.lab import coturn
from tests.lab.certs import Authority
from tests.lab.prober import TURNCTL, write_ice_servers


def wall(argv: Sequence[str]) -> tuple[float, str]:
    """Seconds from start to end of a process, and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def main(runs: int) -> None:
    times: dict[str, list[float]] = {"check": [], "four": [], "help": [], "uclient": []}
    gathered: list[float] = []
    own, own6 = coturn.own_address(), coturn.own_address6()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(folder)
        lines = [f"{key}={own6}" for key in ("listening-ip", "relay-ip", "allowed-peer-ip")]
        server = stack.enter_context(
            coturn.running(own, lines=lines, tls=authority.issue([own, own6]))
        )
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(folder / "ice.json", urls, server.credential())
        four = [
            url
            for host in (own, f"[{own6}]")
            for url in (
                f"turn:{host}:{server.port}?transport=udp",
                f"turn:{host}:{server.port}?transport=tcp",
                f"turns:{host}:{server.tls_port}?transport=tcp",
                f"stun:{host}:{server.port}",
            )
        ]
        both = write_ice_servers(folder / "both.json", four, server.credential())
        root = str(authority.root)
        for _ in range(runs):
            seconds, report = wall([TURNCTL, "check", "--format", "json", path])
            times["check"].append(seconds)
            candidates = json.loads(report)["candidates"]
            gathered.append(max(one["elapsedMs"] for one in candidates))
            argv = [TURNCTL, "check", "--format", "json", "--ca", root, both]
            seconds, report = wall(argv)
            times["four"].append(seconds)
            carrying = [url for url in json.loads(report)["urls"] if url["received"] == 20]
            if len(carrying) != 6:
                sys.exit(f"{len(carrying)} of 6 relay paths carry all data:\n{report}")
            times["help"].append(wall([TURNCTL, "--help"])[0])
            uclient = [
                "turnutils_uclient",
                "-W",
                server.secret,
                "-u",
                "bench",
                "-y",
                "-c",
                "-n",
                "5",
            ]
            argv = [*uclient, "-p", str(server.port), server.host]
            times["uclient"].append(wall(argv)[0])
    rows = {
        "turnctl check, UDP and TCP URL": times["check"],
        "turnctl check, four URLs, two families": times["four"],
        "turnutils_uclient -y -c -n 5, UDP alone": times["uclient"],
        "turnctl --help": times["help"],
        "gathering, start to last candidate": [ms / 1000 for ms in gathered],
    }
    for name, values in rows.items():
        middle, least, most = statistics.median(values), min(values), max(values)
        print(f"{name:42} median {middle:6.3f} s   {least:.3f} to {most:.3f} s")
    ratio = statistics.median(u / c for u, c in zip(times["uclient"], times["check"], strict=True))
    print(f"{'turnutils_uclient / turnctl check':42} median {ratio:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
