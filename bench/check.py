"""`turnctl check` as a whole command beside `turnutils_uclient`, against one local coturn.

    .venv/bin/python bench/check.py [RUNS]

Prints medians of whole-process wall times, taken in turn in one run, and the time to the last
candidate; as root also of four URLs of a name with both families, and of the same with a black hole
among them. Targets: check ≤ 1.0 s, help ≤ 0.15 s, gathering ≤ 50 ms; four URLs over two families
≤ 1.5 s, with the black hole ≤ --timeout + 0.5 s.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.names import names
from tests.lab.prober import TURNCTL, write_ice_servers

NAME = "relay.test"
TIMEOUT = 2.0


def wall(argv: Sequence[str], status: int = 0) -> tuple[float, str]:
    """Seconds from start to end of a process, and what it printed."""
    begun = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode != status:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return seconds, done.stdout


def four(runs: int, folder: Path) -> dict[str, list[float]]:
    """Four URLs of one name, each over both families, from the server's own host; then with a black
    hole in the place of one.
    """
    authority = Authority(folder)
    lines = [f"{key}={netns.SERVER6}" for key in ("listening-ip", "relay-ip", "allowed-peer-ip")]
    times: dict[str, list[float]] = {"healthy": [], "hole": []}
    with (
        netns.internet() as internet,
        names(internet.server, NAME, [netns.SERVER, netns.SERVER6]),
        coturn.running(
            netns.SERVER,
            lines=lines,
            tls=authority.issue([NAME]),
            namespace=internet.server.name,
        ) as server,
    ):
        internet.server.drop(f"ip daddr {netns.SECOND_SERVER}")
        stun = f"stun:{NAME}:{server.port}"
        turn = [
            f"turn:{NAME}:{server.port}?transport=udp",
            f"turn:{NAME}:{server.port}?transport=tcp",
            f"turns:{NAME}:{server.tls_port}?transport=tcp",
        ]
        hole = f"turn:{netns.SECOND_SERVER}:{server.port}?transport=udp"
        inside = ["ip", "netns", "exec", internet.server.name]
        check = [TURNCTL, "check", "--ca", str(authority.root), "--timeout", str(TIMEOUT)]
        for _ in range(runs):
            for kind, urls, status in (
                ("healthy", [stun, *turn], 0),
                ("hole", [hole, *turn], 1),
            ):
                path = write_ice_servers(folder / f"{kind}.json", urls, server.credential())
                times[kind].append(wall([*inside, *check, path], status)[0])
    return times


def main(runs: int) -> None:
    times: dict[str, list[float]] = {"check": [], "help": [], "uclient": []}
    gathered: list[float] = []
    with tempfile.TemporaryDirectory() as folder, coturn.running(coturn.own_address()) as server:
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(Path(folder) / "ice.json", urls, server.credential())
        for _ in range(runs):
            seconds, report = wall([TURNCTL, "check", "--format", "json", path])
            times["check"].append(seconds)
            candidates = json.loads(report)["candidates"]
            gathered.append(max(one["elapsedMs"] for one in candidates))
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
        root = os.geteuid() == 0
        if root:
            times |= four(runs, Path(folder))
    rows = {
        "turnctl check, UDP and TCP URL": times["check"],
        "turnutils_uclient -y -c -n 5, UDP alone": times["uclient"],
        "turnctl --help": times["help"],
        "gathering, start to last candidate": [ms / 1000 for ms in gathered],
    }
    if root:
        rows["four URLs over two families"] = times["healthy"]
        rows[f"three and a black hole, --timeout {TIMEOUT:g}"] = times["hole"]
    else:
        print("four URLs over two families: not measured, namespaces need root")
    for name, values in rows.items():
        middle, least, most = statistics.median(values), min(values), max(values)
        print(f"{name:42} median {middle:6.3f} s   {least:.3f} to {most:.3f} s")
    ratio = statistics.median(u / c for u, c in zip(times["uclient"], times["check"], strict=True))
    print(f"{'turnutils_uclient / turnctl check':42} median {ratio:6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
