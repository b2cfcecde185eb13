"""`turnctl check` as its users run it: a process, its exit status, its JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signalpost.credentials import Credential
from signalpost.iceservers import IceServer
from tests.lab.clocks import shifted
from tests.lab.netns import DEADLINE, Namespace

__all__ = ["GRACE", "TURNCTL", "Checked", "assert_only", "check", "write_ice_servers"]

TIMEOUT = "10"
"""Seconds a URL unless a test says otherwise: of a busy machine's delay nothing shall come."""

GRACE = 30.0
"""Seconds within which something ends at once, or when its time is over, also on a busy machine.
It's no measure of speed: the tests that use it set up waits that are far longer."""

TURNCTL = str(Path(sys.executable).with_name("turnctl"))


@dataclass(frozen=True, slots=True)
class Checked:
    """What one run said. `seconds` is the wall time of the whole command."""

    status: int
    report: dict[str, Any]
    stderr: str
    seconds: float

    def codes(self, *severities: str) -> set[str]:
        """Codes of the findings with these severities, of all when none is named."""
        return {
            finding["code"]
            for finding in self.report["findings"]
            if not severities or finding["severity"] in severities
        }

    def verdicts(self) -> list[str]:
        return [url["verdict"] for url in self.report["urls"]]


def check(*arguments: str, inside: Namespace | None = None, ahead: int = 0) -> Checked:
    """Run `turnctl check --format json` with these arguments, in a namespace when given, or by a
    clock that is so many seconds ahead.
    """
    timeout = [] if "--timeout" in arguments else ["--timeout", TIMEOUT]
    argv = [TURNCTL, "check", "--format", "json", *timeout, *arguments]
    begun = time.monotonic()
    if inside is not None:
        done = inside.run(argv)
    else:
        clock = shifted(ahead)
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=DEADLINE, check=False, env=clock
        )
    seconds = time.monotonic() - begun
    if done.returncode not in (0, 1) or not done.stdout:
        raise AssertionError(f"turnctl check ended with {done.returncode}: {done.stderr}")
    return Checked(done.returncode, json.loads(done.stdout), done.stderr, seconds)


def assert_only(
    code: str, checked: Checked, severity: str = "fail", *, beside: Collection[str] = ()
) -> None:
    """The one code of this severity, those apart that may stand `beside` it, and no failing one
    besides. Each finding says what was seen and what to do.
    """
    findings = checked.report["findings"]
    assert {code} == checked.codes(severity) - {*beside}, findings
    assert all(finding["summary"] and finding["fix"] for finding in findings), findings
    if severity == "fail":
        assert (1, "fail") == (checked.status, checked.report["verdict"])
    else:
        assert set() == checked.codes("fail"), findings


def write_ice_servers(path: Path, urls: Sequence[str], credential: Credential) -> str:
    """An iceServers file for `check`; its path as text."""
    server = IceServer(tuple(urls), credential.username, credential.password)
    path.write_text(json.dumps({"iceServers": [server.as_json()]}))
    return str(path)
