"""A first run that is killed, wherever that happens, and the one after it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from signalpost.credentials import Secret
from turnctl.coturn import database

RELAYS = ("coturn", "coturn-edge", "coturn-next", "coturn-edge-next")
KEYS = ("turn-secret", "api-key", "token-key", "id-key")

RUNS = """
import os, shutil, signal, sys
import sqlite3, turnctl.deployment.edge.placeholder, turnctl.host.interfaces
from turnctl.commands.init import init

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.chmod", "sqlite3.connect"}

def run(directory, last=None):
    "init in a process of its own, killed before its change number `last` to the disk."
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = 0
    def hook(event, arguments):
        nonlocal count
        written = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or written:
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.addaudithook(hook)
    init.main(["--dir", directory, *sys.argv[2:]], standalone_mode=False)
    os._exit(0)

at = 1
while run(data := f"{sys.argv[1]}/{at}", at) == -signal.SIGKILL:
    if os.path.isdir(data):
        shutil.copytree(data, f"{data}.killed")
    if run(data):
        sys.exit(f"the run after the kill at change {at} failed")
    at += 1
"""
"""Prepared in one process, so that a run costs a fork and not an interpreter."""


def test_a_killed_first_run_is_gone_on_with(tmp_path: Path) -> None:
    """Killed before each single change to the disk; the next run completes what there is: no value
    is lost, each relay knows the secret that mints, and nothing half-written stays."""
    argv = [
        sys.executable, "-c", RUNS, str(tmp_path), "--no-stun", "--coturn-version=4.18.0",
        "--next-port=3479", "--edge-port=3480", "--edge-next-port=3482",
    ]  # fmt: skip
    done = subprocess.run(
        argv,
        env=os.environ | {"DOMAIN": "turn.example.org"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    assert 0 == done.returncode, done.stderr
    killed = list(tmp_path.glob("*.killed"))
    assert len(killed) > 40, "it was killed less often than it writes files"
    for before in killed:
        data = before.with_suffix("")
        kept = {name: (before / name).read_text() for name in KEYS if (before / name).exists()}
        values = {name: (data / name).read_text() for name in KEYS}
        assert values | kept == values
        minting = Secret(values["turn-secret"].strip())
        for name in RELAYS:
            assert {minting} == database.get(data / name / "turndb", "signalpost")
            assert (data / name / "turnserver.conf").stat().st_mode & 0o777 == 0o400
        assert yaml.safe_load((data / "signalpost.yaml").read_text())["turn"]["relays"]
        assert "PRIVATE KEY" in (data / "certificates" / "edge.pem").read_text()
        assert [] == list(data.rglob("*.unfinished"))
