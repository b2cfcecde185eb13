"""The lab by hand."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

from tests.lab import netns
from tests.lab.parts import require

ROOT = Path(__file__).parents[2]
LAB = [sys.executable, "-m", "tests.lab"]


def test_a_site_is_held_until_ctrl_c() -> None:
    """`up` prints commands that work in the site, and Ctrl-C takes its namespaces down."""
    require("ip", "nft", "turnserver", root=True)
    argv = [*LAB, "up", "full-cone"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as lab:
        assert lab.stdout is not None
        try:
            lines = list(itertools.takewhile(lambda line: "Ctrl-C" not in line, lab.stdout))
            command = next(line.split(maxsplit=1)[1] for line in lines if line[:6] == "  nat ")
            told = subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
            )
        finally:
            lab.send_signal(signal.SIGINT)
    assert (0, 0) == (told.returncode, lab.returncode), told.stderr
    assert "filtering  endpoint-independent" in told.stdout
    namespace = command.split()[3]
    assert namespace.startswith(netns.PREFIX)
    there = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    assert namespace not in there.stdout


def test_a_kind_that_is_none() -> None:
    """A wrong kind is refused with those there are."""
    argv = [*LAB, "up", "cone"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert 2 == done.returncode
    assert all(kind in done.stderr for kind in netns.KINDS)
