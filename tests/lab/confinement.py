"""What a container's first process may do, as the kernel has it: settings are a wish until then."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.lab.docker import Project

__all__ = ["Confinement", "confinement", "secrets_shown"]

Confinement = dict[str, str]


def confinement(project: Project, service: str) -> Confinement:
    """User, capabilities that count and those that may ever, privileges to gain, system calls."""
    pid = project.inspect(service)["State"]["Pid"]
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(re.findall(r"^(\w+):\s*(\S+)", status, re.MULTILINE))
    return {name: fields[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}


def secrets_shown(project: Project, service: str, secrets: list[str]) -> list[str]:
    """Which of them show in what Docker knows of the container or in its process's arguments."""
    container = project.inspect(service)
    process = Path(f"/proc/{container['State']['Pid']}")
    shown = json.dumps(container).encode()
    for name in ("environ", "cmdline"):
        shown += (process / name).read_bytes()
    return [secret for secret in secrets if secret.encode() in shown]
