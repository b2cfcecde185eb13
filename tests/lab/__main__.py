"""The lab by hand: `python -m tests.lab list`, `up KIND…`, `meetings`. docs/lab.md tells more."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab import coturn, meetings, nats, netns
from tests.lab.certs import Authority
from tests.lab.coturn import Server, Version
from tests.lab.netns import Kind, Site
from tests.lab.prober import TURNCTL

MATRIX = Path(__file__).resolve().parents[2] / "docs" / "nat-matrix.md"


def say(*lines: str) -> None:
    print("\n".join(lines), flush=True)  # noqa: T201  talks to whoever typed the command


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="build sites and a coturn, hold them until Ctrl-C")
    up.add_argument("kinds", nargs="+", choices=netns.KINDS, metavar="KIND")
    up.add_argument("--coturn", choices=coturn.VERSIONS, default="4.6.1", help="its version")
    up.add_argument("--delay", metavar="TIME", help="added to each packet that leaves a site: 5ms")
    commands.add_parser("list", help="the kinds of sites, and the namespaces that are there")
    commands.add_parser(
        "meetings", help="let peers behind all NATs meet; writes docs/nat-matrix.md"
    )
    given = parser.parse_args()
    # Torn down by `kill` as by Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        match given.command:
            case "up":
                hold(given.kinds, given.coturn, given.delay)
            case "list":
                say(*listed())
            case "meetings":
                MATRIX.write_text(meetings.render(meetings.measure()))
    except pytest.skip.Exception as missing:
        say(str(missing))
        return 3
    except KeyboardInterrupt:
        return 0
    return 0


def hold(kinds: Sequence[Kind], version: Version, delay: str | None) -> None:
    """Build, say how to use it, and wait for Ctrl-C."""
    with ExitStack() as stack:
        internet = stack.enter_context(netns.internet(delay=delay))
        sites = [internet.join(kind) for kind in kinds]
        authority = Authority(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        addresses = [netns.SERVER, netns.SERVER6]
        others = [netns.SECOND_SERVER, netns.SERVER6, netns.SECOND_SERVER6]
        server = stack.enter_context(
            coturn.running(
                netns.SERVER,
                lines=[
                    *(f"listening-ip={address}" for address in others),
                    *(f"{key}={netns.SERVER6}" for key in ("relay-ip", "allowed-peer-ip")),
                    *(["rfc5780"] if version == "4.18.0" else []),
                ],
                tls=authority.issue(addresses),
                port=3478,
                tls_port=443,
                namespace=internet.server.name,
                version=version,
            )
        )
        for site in sites:
            say(*described(site, server, authority), "")
        say("Ctrl-C takes it down.")
        signal.pause()


def described(site: Site, server: Server, authority: Authority) -> list[str]:
    """A site's namespaces, and commands to copy."""
    inside = f"ip netns exec {site.client.name}"
    hosts = {4: netns.SERVER, 6: f"[{netns.SERVER6}]"}
    stun = " ".join(f"'stun:{hosts[family]}:{server.port}'" for family in site.families)
    turn = " ".join(
        f"'turn:{hosts[family]}:{server.port}' 'turns:{hosts[family]}:{server.tls_port}'"
        for family in site.families
    )
    credential = server.credential(ttl=24 * 3600)
    login = shlex.join(["--username", credential.username, "--credential", credential.password])
    return [
        f"{site.kind}: client {site.client.address}, seen by the internet as {site.router.address}",
        f"  enter   {inside} bash",
        f"  router  ip netns exec {site.router.name} bash",
        f"  server  ip netns exec {site.server.name} bash",
        f"  nat     {inside} {TURNCTL} nat {stun}",
        f"  check   {inside} {TURNCTL} check --ca {authority.root} {login} {turn}",
    ]


def listed() -> list[str]:
    """The kinds, and the lab's namespaces; one that nobody holds was left by a killed test."""
    done = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    up = [name for name in names if name.startswith(netns.PREFIX)]
    lines = [f"{kind:<20}{nats.DESCRIPTIONS[kind]}" for kind in netns.KINDS]
    return [*lines, "", *(up or ["no namespace of the lab is there"])]


if __name__ == "__main__":
    sys.exit(main())
