"""How the NAT here behaves: targets → STUN servers → what they see → Behaviour, for each family."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from signalpost.iceservers import DEFAULT_PORTS, IceUri, IceUriError, parse_uri
from turnctl.check.examine import Request
from turnctl.check.probes.nat import observe
from turnctl.check.targets import NoServers, TargetError, read_target
from turnctl.diagnosis.nat import judge
from turnctl.diagnosis.report import NatReport
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Address, Family, Outcome
from turnctl.wire.resolve import ResolutionFailed, resolve

__all__ = ["examine_nat", "stun_servers"]

MOST_SERVERS = 6
"""Two are enough; more only make a long list slow."""


async def examine_nat(request: Request) -> list[NatReport]:
    """Ask the targets' STUN servers over each family.

    Raises TargetError, or NoServers if the targets name no server.
    """
    found = await asyncio.gather(*(_uris(target, request) for target in request.targets))
    servers = stun_servers([uri for uris in found for uri in uris])
    if not servers:
        raise NoServers("no STUN server to ask: give a TARGET that has one, or --stun URI")
    patience = request.options.timeout
    return list(
        await asyncio.gather(*(_over(family, servers, patience) for family in request.families))
    )


async def _uris(target: str, request: Request) -> list[IceUri]:
    """The target's URIs. Malformed URLs in a list are skipped: `check` reports them."""
    if target.partition(":")[0].lower() in DEFAULT_PORTS:
        try:
            return [parse_uri(target)]
        except IceUriError as error:
            raise TargetError(f"target {error}") from error
    patience = request.options.timeout
    found = await read_target(target, request.access, context=request.context, patience=patience)
    if found.issuer and found.issuer.outcome is not Outcome.OK:
        status = f"HTTP {found.issuer.code}" if found.issuer.code else ""
        said = ": ".join(filter(None, [status, found.issuer.detail]))
        raise NoServers(
            f"can't get iceServers from {found.issuer.url} ({said}). Start the service or give its "
            "URL, or name a STUN server with --stun URI"
        )
    return list(_readable(url for server in found.servers for url in server.urls))


def _readable(urls: Iterator[str]) -> Iterator[IceUri]:
    for url in urls:
        try:
            yield parse_uri(url)
        except IceUriError:
            continue


def stun_servers(uris: Sequence[IceUri]) -> list[Address]:
    """Hosts and ports to ask over UDP. A relay for TCP or TLS answers STUN there too: at the port
    of another URL of its host, or else at the default port.
    """
    over_udp = {
        uri.host: uri.port for uri in reversed(uris) if uri.transport == "udp" and not uri.secure
    }
    return list(
        dict.fromkeys(
            (uri.host, uri.port)
            if uri.transport == "udp" and not uri.secure
            else (uri.host, over_udp.get(uri.host, DEFAULT_PORTS["stun"]))
            for uri in uris
        )
    )


async def _over(family: Family, named: Sequence[Address], patience: float) -> NatReport:
    problems: list[str] = []

    async def addresses(server: Address) -> list[Address]:
        host, port = server
        try:
            return [(one, port) for one in await resolve(host, family, patience=patience)]
        except ResolutionFailed as error:
            problems.append(f"{host} could not be looked up: {error}")
            return []

    found = await asyncio.gather(*map(addresses, named))
    servers = [server for several in found for server in several]
    if not servers:
        hosts = ", ".join(dict.fromkeys(host for host, _ in named))
        return NatReport(family, skipped="; ".join(problems) or f"no address of {hosts}")
    try:
        seen = await observe(servers[:MOST_SERVERS], family, patience=patience)
    except WireError as error:
        return NatReport(family, skipped=str(error))
    return NatReport(family, seen, judge(seen))
