"""This host's addresses: of its interfaces, as a STUN server sees it, and whether packets sent to
that address find their way back. The sockets behind `turnctl.deployment.placement`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import select
import socket
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ifaddr

from turnctl.host.addresses import Answer, Own, Seen
from turnctl.host.ports import Port
from turnctl.wire import background
from turnctl.wire.errors import WireError
from turnctl.wire.links import connect_stream, open_datagram, open_stream
from turnctl.wire.resolve import NO_ADDRESS, ResolutionFailed, resolve
from turnctl.wire.session import Session

__all__ = [
    "ask",
    "come_back",
    "comes_back",
    "connects",
    "looked_up",
    "own_addresses",
    "seen_by",
]

ASK_PATIENCE = 2.0
"""Seconds for all servers together, which are asked at once: init should not feel slow offline."""
LOOKUP_PATIENCE = 3.0
"""Seconds for a name; a resolver that takes longer is none."""
HAIRPIN_PATIENCE = 1.0
"""A packet to one's own router and back takes milliseconds."""
CONTAINER_BRIDGES = ("docker", "br-", "veth", "virbr", "cni", "podman", "lxc")
"""Networks inside this host, of Docker, libvirt and their kin: nobody outside reaches them."""
UNSTABLE = 0x01 | 0x20 | 0x40
"""Flags of /proc/net/if_inet6: temporary (RFC 8981), deprecated, tentative."""


def own_addresses() -> Own:
    """Addresses a relay can be put on: neither loopback nor link-local nor a container network's,
    IPv6 only global ones."""
    found = [
        ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0])
        for adapter in ifaddr.get_adapters()
        if not adapter.name.startswith(CONTAINER_BRIDGES)
        for ip in adapter.ips
    ]
    usable = [a for a in found if not (a.is_loopback or a.is_link_local or a.is_multicast)]
    unstable = _unstable_ipv6()
    v4 = [str(a) for a in usable if a.version == 4]
    # Unique local ones are left out: coturn from 4.13.1 on refuses them as peers whatever the
    # configuration allows, so a relay there could not reach itself.
    v6 = [
        str(a)
        for a in usable
        if a.version == 6 and a not in ipaddress.ip_network("fc00::/7") and str(a) not in unstable
    ]
    return Own(_first(v4, _route_source("192.0.2.1")), _first(v6, _route_source("2001:db8::1")))


def _first(addresses: list[str], preferred: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sorted(addresses, key=lambda address: address != preferred)))


def _route_source(destination: str) -> str | None:
    """The source address of the route there: connecting a UDP socket sends no packet."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((destination, 9))
        return str(probe.getsockname()[0])
    return None


def _unstable_ipv6() -> set[str]:
    """IPv6 addresses that will be gone tomorrow; Linux alone says which."""
    unstable = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, _, flags, _ = line.split()
            if int(flags, 16) & UNSTABLE:
                unstable.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return unstable


def ask(servers: Sequence[tuple[str, int]]) -> Seen | str:
    """The IPv4 address the first STUN server to answer sees, or why there is no answer."""
    return asyncio.run(seen_by(servers))


async def seen_by(servers: Sequence[tuple[str, int]]) -> Seen | str:
    """The same, in a loop that runs already."""
    if not servers:
        return "no STUN server was asked"
    names = ", ".join(f"{host}:{port}" for host, port in servers)
    return await _ask(servers) or f"no answer from the STUN servers asked ({names})"


async def _ask(servers: Sequence[tuple[str, int]]) -> Seen | None:
    asked = [asyncio.ensure_future(_mapped(host, port)) for host, port in servers]
    try:
        for answer in asyncio.as_completed(asked, timeout=ASK_PATIENCE):
            with contextlib.suppress(WireError, ResolutionFailed):
                seen = await answer
                if seen is not None:
                    return seen
    except TimeoutError:
        pass
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return None


async def _mapped(host: str, port: int) -> Seen | None:
    for address in (await resolve(host, 4, patience=ASK_PATIENCE))[:1]:
        session = Session()
        session.attach(await open_datagram((address, port), session))
        try:
            mapped = (await session.binding(patience=ASK_PATIENCE)).mapped
        finally:
            await session.close()
        if mapped is not None:
            return Seen(mapped[0], f"{host}:{port}")
    return None


async def looked_up(name: str) -> tuple[Answer, Answer]:
    """What DNS says of a name: its IPv4 and its IPv6 addresses."""
    v4, v6 = await asyncio.gather(
        _looked_up(name, socket.AF_INET), _looked_up(name, socket.AF_INET6)
    )
    return v4, v6


async def _looked_up(name: str, family: socket.AddressFamily) -> Answer:
    try:
        found = await background.call(
            lambda: socket.getaddrinfo(
                name, None, family, socket.SOCK_STREAM, flags=socket.AI_CANONNAME
            ),
            patience=LOOKUP_PATIENCE,
        )
    except TimeoutError:
        return Answer(problem=f"the resolver did not answer in {LOOKUP_PATIENCE:.0f} s")
    except socket.gaierror as error:
        absent = error.errno in NO_ADDRESS
        return Answer() if absent else Answer(problem=error.strerror or str(error))
    except (OSError, UnicodeError) as error:
        return Answer(problem=str(error))
    canonical = found[0][3].rstrip(".").lower()
    return Answer(
        tuple(dict.fromkeys(str(entry[4][0]) for entry in found)),
        canonical if canonical not in {"", name} else None,
    )


def come_back(public: str, own: str, ports: Iterable[Port]) -> dict[Port, bool]:
    """Of each whether packets sent to `public` reach this host, at all of its samples."""
    with ThreadPoolExecutor() as pool:
        asked = {
            port: [
                pool.submit(connects if port.protocol == "tcp" else comes_back, public, own, sample)
                for sample in port.samples
            ]
            for port in ports
        }
        return {port: all(one.result() for one in ran) for port, ran in asked.items()}


def comes_back(public: str, own: str, port: int) -> bool:
    """Whether a packet sent to `public` at the relay's port reaches this host.

    When the port is taken a running coturn may have it: then its answer is the proof.
    """
    token = os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((own, port))
        except OSError:
            return isinstance(ask([(public, port)]), Seen)
        with contextlib.suppress(OSError):
            probe.sendto(token, (public, port))
            deadline = time.monotonic() + HAIRPIN_PATIENCE
            while (left := deadline - time.monotonic()) > 0 and select.select(
                [probe], [], [], left
            )[0]:
                if probe.recv(64) == token:
                    return True
    return False


def connects(public: str, own: str, port: int) -> bool:
    """The same over TCP. A port that cannot be had for another reason proves nothing: False."""
    token = os.urandom(16)
    try:
        listener = socket.create_server((own, port))
    except OSError:
        return asyncio.run(_answers(public, port))
    with (
        listener,
        contextlib.suppress(OSError),
        socket.create_connection((public, port), timeout=HAIRPIN_PATIENCE) as probe,
    ):
        # A router may have answered instead, with a page of its own.
        listener.settimeout(HAIRPIN_PATIENCE)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(HAIRPIN_PATIENCE)
            probe.sendall(token)
            passed = accepted.recv(64) == token
            # The first to close keeps its port for a minute, and this one is about to be needed.
            probe.close()
            return passed
    return False


async def _answers(host: str, port: int) -> bool:
    """Whether a STUN server answers there over TCP."""
    session = Session()
    try:
        sock = await connect_stream((host, port), patience=HAIRPIN_PATIENCE)
        session.attach(await open_stream(sock, session, patience=HAIRPIN_PATIENCE))
        return (await session.binding(patience=HAIRPIN_PATIENCE)).mapped is not None
    except WireError:
        return False
    finally:
        await session.close()
