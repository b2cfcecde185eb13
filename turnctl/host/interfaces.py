"""This host's addresses: those of its interfaces, the one a STUN server sees, and whether packets
sent to that one come back. `turnctl.deployment.placement` decides by them.
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

from turnctl.host.addresses import DnsAnswer, MappedAddress, OwnAddresses
from turnctl.host.ports import PortRange
from turnctl.wire import background
from turnctl.wire.errors import WireError
from turnctl.wire.links import connect_stream, open_datagram, open_stream
from turnctl.wire.resolve import NO_ADDRESS, ResolutionFailed, resolve
from turnctl.wire.session import Session

__all__ = [
    "ask_stun",
    "dns_answers",
    "mapped_address",
    "own_addresses",
    "ports_that_come_back",
    "tcp_comes_back",
    "udp_comes_back",
]

ASK_PATIENCE = 2.0
"""Seconds for all servers, which are asked in parallel: init must not be slow without internet."""
LOOKUP_PATIENCE = 3.0
"""Seconds for a name. A resolver that takes longer counts as down."""
HAIRPIN_PATIENCE = 1.0
"""Seconds. A packet to the router and back takes milliseconds."""
CONTAINER_BRIDGES = ("docker", "br-", "veth", "virbr", "cni", "podman", "lxc")
"""Networks inside this host, of Docker, libvirt and so on: no other host reaches them."""
UNSTABLE = 0x01 | 0x20 | 0x40
"""Flags of /proc/net/if_inet6: temporary (RFC 8981), deprecated, tentative."""


def own_addresses() -> OwnAddresses:
    """Addresses that a relay can use: not loopback, link-local or a container network's, and of
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
    # Unique local ones are left out: from 4.13.1 on coturn refuses them as peers, whatever the
    # configuration allows, so a relay there couldn't reach itself.
    v6 = [
        str(a)
        for a in usable
        if a.version == 6 and a not in ipaddress.ip_network("fc00::/7") and str(a) not in unstable
    ]
    return OwnAddresses(
        _first(v4, _route_source("192.0.2.1")), _first(v6, _route_source("2001:db8::1"))
    )


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
    """IPv6 addresses that won't last. Only Linux lists them."""
    unstable = set()
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, _, _, _, flags, _ = line.split()
            if int(flags, 16) & UNSTABLE:
                unstable.add(str(ipaddress.IPv6Address(int(digits, 16))))
    return unstable


def ask_stun(servers: Sequence[tuple[str, int]]) -> MappedAddress | str:
    """`mapped_address` for callers without an event loop."""
    return asyncio.run(mapped_address(servers))


async def mapped_address(servers: Sequence[tuple[str, int]]) -> MappedAddress | str:
    """The IPv4 address that the first STUN server to answer sees, or why there is no answer."""
    if not servers:
        return "no STUN server was asked"
    names = ", ".join(f"{host}:{port}" for host, port in servers)
    return await _ask(servers) or f"no answer from the STUN servers asked ({names})"


async def _ask(servers: Sequence[tuple[str, int]]) -> MappedAddress | None:
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


async def _mapped(host: str, port: int) -> MappedAddress | None:
    for address in (await resolve(host, 4, patience=ASK_PATIENCE))[:1]:
        session = Session()
        session.attach(await open_datagram((address, port), session))
        try:
            mapped = (await session.binding(patience=ASK_PATIENCE)).mapped
        finally:
            await session.close()
        if mapped is not None:
            return MappedAddress(mapped[0], f"{host}:{port}")
    return None


async def dns_answers(name: str) -> tuple[DnsAnswer, DnsAnswer]:
    """What DNS has for a name: its IPv4 and its IPv6 addresses."""
    v4, v6 = await asyncio.gather(
        _dns_answer(name, socket.AF_INET), _dns_answer(name, socket.AF_INET6)
    )
    return v4, v6


async def _dns_answer(name: str, family: socket.AddressFamily) -> DnsAnswer:
    try:
        found = await background.call(
            lambda: socket.getaddrinfo(
                name, None, family, socket.SOCK_STREAM, flags=socket.AI_CANONNAME
            ),
            patience=LOOKUP_PATIENCE,
        )
    except TimeoutError:
        return DnsAnswer(problem=f"the resolver did not answer in {LOOKUP_PATIENCE:.0f} s")
    except socket.gaierror as error:
        absent = error.errno in NO_ADDRESS
        return DnsAnswer() if absent else DnsAnswer(problem=error.strerror or str(error))
    except (OSError, UnicodeError) as error:
        return DnsAnswer(problem=str(error))
    canonical = found[0][3].rstrip(".").lower()
    return DnsAnswer(
        tuple(dict.fromkeys(str(entry[4][0]) for entry in found)),
        canonical if canonical not in {"", name} else None,
    )


def ports_that_come_back(
    public: str, own: str, ports: Iterable[PortRange]
) -> dict[PortRange, bool]:
    """Of each range whether packets to `public` reach this host, at all of its sample ports."""
    with ThreadPoolExecutor() as pool:
        asked = {
            port: [
                pool.submit(
                    tcp_comes_back if port.protocol == "tcp" else udp_comes_back,
                    public,
                    own,
                    sample,
                )
                for sample in port.samples
            ]
            for port in ports
        }
        return {port: all(one.result() for one in ran) for port, ran in asked.items()}


def udp_comes_back(public: str, own: str, port: int) -> bool:
    """Whether a packet sent to `public` at the relay's port reaches this host.

    If the port is in use, a running coturn may have it. Then its answer is the proof.
    """
    token = os.urandom(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((own, port))
        except OSError:
            return isinstance(ask_stun([(public, port)]), MappedAddress)
        with contextlib.suppress(OSError):
            probe.sendto(token, (public, port))
            deadline = time.monotonic() + HAIRPIN_PATIENCE
            while (left := deadline - time.monotonic()) > 0 and select.select(
                [probe], [], [], left
            )[0]:
                if probe.recv(64) == token:
                    return True
    return False


def tcp_comes_back(public: str, own: str, port: int) -> bool:
    """The same over TCP. False if the port can't be bound and no STUN server answers on it."""
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
        # A router may have answered instead, with its own page.
        listener.settimeout(HAIRPIN_PATIENCE)
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(HAIRPIN_PATIENCE)
            probe.sendall(token)
            passed = accepted.recv(64) == token
            # The side that closes first keeps its port for a minute; coturn needs this one soon.
            probe.close()
            return passed
    return False


async def _answers(host: str, port: int) -> bool:
    """Whether a STUN server answers at this port over TCP."""
    session = Session()
    try:
        sock = await connect_stream((host, port), patience=HAIRPIN_PATIENCE)
        session.attach(await open_stream(sock, session, patience=HAIRPIN_PATIENCE))
        return (await session.binding(patience=HAIRPIN_PATIENCE)).mapped is not None
    except WireError:
        return False
    finally:
        await session.close()
