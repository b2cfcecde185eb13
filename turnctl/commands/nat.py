"""`turnctl nat`: how the NAT in front of this machine behaves, and what that means for calls."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signalpost.iceservers import DEFAULT_PORTS, IceUri, IceUriError, parse_uri
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.options import MAX_TIMEOUT, CheckOptions, Seconds, target_options
from turnctl.commands.output import deliver, report_options

if TYPE_CHECKING:
    from turnctl.check.examine import Request
    from turnctl.diagnosis.nat import Behaviour, NatEvidence
    from turnctl.wire.outcome import Address, Family

__all__ = ["nat"]

SCHEMA = "signalpost.nat/1"

MOST_SERVERS = 6
"""Two are enough to tell; more only make a busy list slow."""


@dataclass(frozen=True, slots=True)
class _Result:
    """One family: what was seen and judged, or why nothing was (`skipped`)."""

    family: Family
    seen: NatEvidence | None = None
    behaviour: Behaviour | None = None
    skipped: str = ""


def _only_uris(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> Any:
    for text in given:
        try:
            parse_uri(text)
        except IceUriError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return given


@click.command()
@target_options(
    without={"secret_file", "username", "credential", "relay_only", "stun_echo", "audit"},
    instead={
        "api_key_file": click.option(
            "--api-key-file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="An API key of the service that issues the iceServers.",
        ),
        "timeout": click.option(
            "--timeout",
            type=Seconds(0.5, MAX_TIMEOUT),
            default=2.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait before silence counts.",
        ),
    },
)
@click.option(
    "--stun",
    multiple=True,
    metavar="URI",
    callback=_only_uris,
    help="A STUN server to ask, such as stun:stun.example.org; can be repeated.",
)
@report_options("text", "json")
def nat(
    options: CheckOptions,
    stun: tuple[str, ...],
    format_: str,
    output: Path | None,
) -> int:
    """Tell how the NAT in front of this machine maps and filters, and what that means for calls.

    TARGET as in check: a service's URL, a stun:, turn: or turns: URI, or a JSON file with
    iceServers. One server with RFC 5780 tells everything, two others tell the mapping.

    \b
    Exit status:
      0  it could be told
      1  it could not: UDP is blocked, or there are too few servers
      2  wrong usage
      3  no server could be asked
    """
    request = replace(options, targets=options.targets + stun).request()
    started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
    results = asyncio.run(_examine(request))
    tested = [one for one in results if one.behaviour]
    if not tested:
        raise Failure("; ".join(f"IPv{one.family}: {one.skipped}" for one in results))
    if format_ == "json":
        document = {
            "schema": SCHEMA,
            "target": " ".join(request.targets),
            "startedAt": started.isoformat(timespec="milliseconds"),
            "elapsedMs": round((time.monotonic() - begun) * 1000, 3),
            "families": [_as_json(one) for one in results],
        }
        text = json.dumps(document, indent=2)
    else:
        text = "\n\n".join("\n".join(_as_text(one)) for one in tested)
    deliver(f"{text}\n", output)
    return 0 if any(one.behaviour and one.behaviour.is_known for one in tested) else 1


async def _examine(request: Request) -> list[_Result]:
    from turnctl.check.targets import TargetError

    try:
        loaded = await asyncio.gather(*(_uris(target, request) for target in request.targets))
    except TargetError as error:
        raise Misuse(str(error)) from error
    endpoints = _endpoints([uri for uris in loaded for uri in uris])
    if not endpoints:
        raise Failure("no server to ask; name a TARGET that has some, or --stun URI")
    return list(
        await asyncio.gather(
            *(_over(family, endpoints, request.options.timeout) for family in request.families)
        )
    )


async def _uris(target: str, request: Request) -> list[IceUri]:
    """The target's URIs. Those of its list that cannot be read are check's business."""
    from turnctl.check import targets
    from turnctl.wire.outcome import Outcome

    if target.partition(":")[0].lower() in DEFAULT_PORTS:
        try:
            return [parse_uri(target)]
        except IceUriError as error:
            raise targets.TargetError(f"target {error}") from error
    patience = request.options.timeout
    source = await targets.read_target(
        target, request.access, context=request.context, patience=patience
    )
    if source.issuer and source.issuer.outcome is not Outcome.OK:
        status = f"HTTP {source.issuer.code}" if source.issuer.code else ""
        said = ": ".join(filter(None, [status, source.issuer.detail]))
        raise Failure(f"{source.issuer.url} gave no iceServers ({said}); --stun URI does without")
    return list(_readable(url for server in source.servers for url in server.urls))


def _readable(urls: Iterator[str]) -> Iterator[IceUri]:
    for url in urls:
        try:
            yield parse_uri(url)
        except IceUriError:
            continue


def _endpoints(uris: Sequence[IceUri]) -> list[Address]:
    """Host and port of the STUN servers over UDP: a relay over TCP or TLS answers there as well."""
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


async def _over(family: Family, endpoints: Sequence[Address], patience: float) -> _Result:
    from turnctl.check.probes.nat import observe
    from turnctl.diagnosis.nat import judge
    from turnctl.wire.errors import WireError
    from turnctl.wire.resolve import ResolutionFailed, resolve

    trouble: list[str] = []

    async def addresses(endpoint: Address) -> list[Address]:
        host, port = endpoint
        try:
            return [(one, port) for one in await resolve(host, family, patience=patience)]
        except ResolutionFailed as error:
            trouble.append(f"{host} could not be looked up: {error}")
            return []

    found = await asyncio.gather(*map(addresses, endpoints))
    servers = [server for several in found for server in several]
    if not servers:
        hosts = ", ".join(dict.fromkeys(host for host, _ in endpoints))
        return _Result(family, skipped="; ".join(trouble) or f"no address of {hosts}")
    try:
        seen = await observe(servers[:MOST_SERVERS], family, patience=patience)
    except WireError as error:
        return _Result(family, skipped=str(error))
    return _Result(family, seen, judge(seen))


_METHODS = {
    "rfc5780": "a server with RFC 5780",
    "two-servers": "several servers",
    "one-server": "one server",
    "none": "no server",
}
_HAIRPIN = {True: "yes", False: "no", None: "unknown"}


def _as_text(result: _Result) -> Iterator[str]:
    seen, behaviour = result.seen, result.behaviour
    if seen is None or behaviour is None:
        return
    yield f"IPv{result.family}, seen by {_METHODS[behaviour.method]}"
    hairpin = "none needed" if behaviour.mapping == "none" else _HAIRPIN[behaviour.hairpin]
    for name, value in (
        ("local", _endpoint(seen.local)),
        ("mapped", _endpoint(behaviour.mapped) or "unknown"),
        ("mapping", behaviour.mapping),
        ("filtering", behaviour.filtering),
        ("hairpin", hairpin),
    ):
        yield f"  {name:<9}  {value}"
    for answer in seen.answers:
        if not answer.mapped:
            yield f"  {_endpoint(answer.asked)}: {answer.outcome}"
    yield behaviour.meaning


def _as_json(result: _Result) -> dict[str, Any]:
    seen, behaviour = result.seen, result.behaviour
    if seen is None or behaviour is None:
        return {"family": result.family, "skipped": result.skipped}
    return {
        "family": result.family,
        "method": behaviour.method,
        "local": _endpoint(seen.local),
        "mapped": _endpoint(behaviour.mapped),
        "mapping": behaviour.mapping,
        "filtering": behaviour.filtering,
        "hairpin": behaviour.hairpin,
        "meaning": behaviour.meaning,
        "answers": [
            {
                "asked": _endpoint(one.asked),
                "outcome": one.outcome,
                "mapped": _endpoint(one.mapped),
                "source": _endpoint(one.source),
            }
            for one in seen.answers
        ],
    }


def _endpoint(address: Address | None) -> str | None:
    if address is None:
        return None
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
