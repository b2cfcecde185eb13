"""`turnctl init`: secrets, the service's configuration and coturn's, for this host.

It can be run at any time: secrets are made once, coturn's files are written anew, and a
`signalpost.yaml` that somebody edited is left alone.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from turnctl.check.allowance import LIMIT
from turnctl.commands import stunservers
from turnctl.commands.errors import Failure
from turnctl.commands.options import Whole
from turnctl.commands.stunservers import Server
from turnctl.coturn import rendering, versions
from turnctl.coturn.program import NoVersion, installed_version
from turnctl.deployment import datadir, dotenv, scraping
from turnctl.deployment.domain import parse as parse_domain
from turnctl.deployment.installation import Installation, install
from turnctl.deployment.placement import NoPlace, Placement, place
from turnctl.deployment.relays import SHARES, relays
from turnctl.host import files
from turnctl.host.addresses import OwnAddresses
from turnctl.rotation.keyring import finish_overdue

__all__ = ["init"]

EDGE_PORT = 3480


def _address(value: str) -> str:
    """An IP address, written the one way addresses compare by."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address such as 198.51.100.7") from None


def _relay_address(value: str) -> str:
    address = ipaddress.ip_address(_address(value))
    if (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
    ):
        raise ValueError(f"{value} is no address that a relay can serve")
    return str(address)


def _realm(value: str) -> str:
    """Narrower than RFC 8489's realm: it stands in a line of coturn's file as it is."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", value):
        raise ValueError(f"{value!r} is not a name of letters, digits, dots and hyphens")
    return value


def _email(value: str) -> str:
    """Narrower than RFC 5321: it stands in a line of .env as it is."""
    if not re.fullmatch(r"[A-Za-z0-9.!%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", value):
        raise ValueError(f"{value!r} is not an address such as you@example.org")
    return value


def _reads(convert: Callable[[str], object]) -> Callable[..., Any]:
    """A click callback that converts the value, or each of several."""

    def callback(_: click.Context, __: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(map(convert, value))
            return None if value is None else convert(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _reads_domain(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """From the environment it has to be written the one way: others read it there too."""
    if value is None:
        return None
    try:
        name = parse_domain(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if name != value and ctx.get_parameter_source("domain") is ParameterSource.ENVIRONMENT:
        raise click.BadParameter(f"write it as DOMAIN={name}, instead of {value!r}")
    return name


def _option(name: str, variable: str | None = None, **more: Any) -> Callable[..., Any]:
    """An option that its environment variable gives too, as compose.yaml does."""
    return click.option(name, envvar=variable, show_envvar=variable is not None, **more)


_PORT = Whole(1, 65535)
_RELAY_PORT = Whole(1024, 65535)
_COUNT = Whole(1, 10_000_000)
_BYTES = Whole(10_000, 1_000_000_000_000)


@click.command()
@click.option(
    "--dir",
    "directory",
    # Root may not read a directory that it takes the owner of.
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path(".signalpost"),
    show_default=True,
    help="Data directory; made if need be.",
)
@_option(
    "--domain",
    "DOMAIN",
    metavar="NAME",
    callback=_reads_domain,
    help="DNS name of this host: HTTPS, and TURN over TLS.",
)
@_option(
    "--email",
    "ACME_EMAIL",
    metavar="ADDRESS",
    callback=_reads(_email),
    help="Where the CA may write about the certificate.",
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    default=Path(".env"),
    show_default=True,
    help="Where --domain and --email are kept, when they are given on the command line.",
)
@_option(
    "--external-ip",
    "EXTERNAL_IP",
    metavar="ADDRESS",
    callback=_reads(_relay_address),
    help="Public address that clients reach this host at. Left out: it is found.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    callback=_reads(_relay_address),
    multiple=True,
    help="This host's address to listen and relay on; repeatable. Left out: it is found.",
)
@stunservers.options
@click.option("--local", is_flag=True, help="The service listens on 127.0.0.1 alone.")
@_option(
    "--coturn-version",
    "COTURN_VERSION",
    metavar="VERSION",
    callback=_reads(versions.parse_version),
    help="coturn that will run. Default: ask the turnserver installed here.",
)
@click.option(
    "--coturn-image",
    metavar="IMAGE",
    help="Image that will run: refused if its tag names a version that is known not to work.",
)
@click.option("--realm", callback=_reads(_realm), default="signalpost", show_default=True)
@_option(
    "--relay",
    type=click.Choice(["coturn", "coturn-next"]),
    default="coturn",
    show_default=True,
    help="Which one clients are sent to; the next one while an upgrade runs.",
)
@click.option(
    "--only",
    type=click.Choice([*SHARES]),
    multiple=True,
    help="Write the files of this relay alone; repeatable. The others may run another version.",
)
@_option(
    "--port", "TURN_PORT", type=_PORT, default=3478, show_default=True, help="TURN, UDP and TCP."
)
@_option(
    "--next-port",
    "TURN_NEXT_PORT",
    type=_PORT,
    help="TURN of the relay that an upgrade runs beside. Left out: there is none.",
)
@_option(
    "--edge-port",
    "EDGE_TURN_PORT",
    type=_PORT,
    help="Loopback port where the edge hands TURN on; the one above is its plain one. "
    f"Default with a domain: {EDGE_PORT}.",
)
@_option(
    "--edge-next-port",
    "EDGE_TURN_NEXT_PORT",
    type=_PORT,
    help="The same for the relay that an upgrade runs beside.",
)
@click.option("--min-port", type=_RELAY_PORT, default=49152, show_default=True)
@click.option("--max-port", type=_RELAY_PORT, default=65535, show_default=True)
@_option(
    "--user-quota",
    "TURN_USER_QUOTA",
    type=_COUNT,
    default=rendering.Limits().user,
    show_default=True,
    help="Allocations a user, at each relay.",
)
@_option(
    "--total-quota",
    "TURN_TOTAL_QUOTA",
    type=_COUNT,
    help="Allocations in all, at each relay. Default: half its ports.",
)
@_option(
    "--max-bps",
    "TURN_MAX_BPS",
    type=_BYTES,
    default=rendering.Limits().allocation_rate,
    show_default=True,
    help="Bytes per second of one allocation.",
)
@_option(
    "--bps-capacity",
    "TURN_BPS_CAPACITY",
    type=_BYTES,
    help="Bytes per second of all together, at each relay. Default: no limit.",
)
@click.option(
    "--http-host",
    metavar="ADDRESS",
    callback=_reads(_address),
    help="Address of the service. Default: all; with a domain 127.0.0.1.",
)
@_option("--http-port", "PORT", type=_PORT, default=8080, show_default=True, help="Of the service.")
@_option(
    "--edge-http",
    "HTTP_PORT",
    type=_PORT,
    default=80,
    show_default=True,
    help="With a domain: the edge's for the CA's challenge, and to redirect.",
)
@_option(
    "--edge-https",
    "HTTPS_PORT",
    type=_PORT,
    default=443,
    show_default=True,
    help="With a domain: the edge's for HTTPS, and TURN over TLS.",
)
@_option(
    "--metrics-port",
    "METRICS_PORT",
    type=_PORT,
    default=scraping.PORTS["signalpost"],
    show_default=True,
    help="Of the service's figures, for Prometheus.",
)
@_option(
    "--probe-port",
    "PROBE_PORT",
    type=_PORT,
    default=scraping.PORTS["turnctl"],
    show_default=True,
    help="Of the probe's figures, for Prometheus.",
)
@click.option(
    "--check-ports",
    is_flag=True,
    help="Go on only if the ports are free, or taken by this deployment itself.",
)
@click.option("--force", is_flag=True, help="Replace signalpost.yaml even when it was edited.")
def init(
    directory: Path,
    domain: str | None,
    email: str | None,
    env_file: Path,
    external_ip: str | None,
    listen: tuple[str, ...],
    stun: tuple[Server, ...],
    no_stun: bool,
    local: bool,
    coturn_version: versions.Version | None,
    coturn_image: str | None,
    realm: str,
    relay: str,
    only: tuple[str, ...],
    port: int,
    next_port: int | None,
    edge_port: int | None,
    edge_next_port: int | None,
    min_port: int,
    max_port: int,
    user_quota: int,
    total_quota: int | None,
    max_bps: int,
    bps_capacity: int | None,
    http_host: str | None,
    http_port: int,
    edge_http: int,
    edge_https: int,
    metrics_port: int,
    probe_port: int,
    check_ports: bool,
    force: bool,
) -> None:
    """Write secrets, signalpost.yaml and coturn's turnserver.conf for this host.

    Run it again at any time: a secret is never overwritten, turnserver.conf is written anew, and
    a signalpost.yaml that you edited stays as it is.
    """
    asked = stunservers.chosen(stun, no_stun)
    if min_port > max_port:
        raise click.UsageError(f"--min-port {min_port} is above --max-port {max_port}")
    if bps_capacity is not None and bps_capacity < LIMIT * max_bps:
        raise click.UsageError(
            f"--bps-capacity {bps_capacity} has room for {bps_capacity // max_bps} allocations of "
            f"--max-bps {max_bps}, which coturn gives each in advance; a check alone makes {LIMIT}"
        )
    if domain is not None and edge_port is None:
        edge_port = EDGE_PORT
    try:
        all_relays = relays(
            port,
            next_port=next_port,
            edge_port=edge_port,
            edge_next_port=edge_next_port,
            first=min_port,
            last=max_port,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    handed_out = next((one for one in all_relays if one.name == relay), None)
    if handed_out is None:
        raise click.UsageError(f"--relay {relay} needs its port: give --next-port too")
    try:
        version = _fit_version(coturn_version, coturn_image)
        where = _place(version, external_ip, listen, asked, port)
        wanted = Installation(
            version=version,
            realm=realm,
            where=where,
            relays=all_relays,
            handed_out=handed_out,
            limits=rendering.Limits(user_quota, total_quota, max_bps, bps_capacity or 0),
            http=(http_host or _http_host(loopback=local or domain is not None), http_port),
            domain=domain,
            edge_http=edge_http,
            edge_https=edge_https,
            figures={"signalpost": metrics_port, "turnctl": probe_port},
            only=only,
        )
        with files.locked(directory):
            if check_ports:
                _require_ports(directory, wanted)
            now = datetime.datetime.now(datetime.UTC)
            for kind in finish_overdue(directory, now.timestamp()):
                click.echo(f"{directory / kind}: the old value has expired and was removed")
            done = install(directory, wanted, force=force, now=now)
        if typed := _typed(DOMAIN=domain, ACME_EMAIL=email):
            dotenv.keep(env_file, typed)
    except (files.Unusable, NoPlace) as error:
        raise Failure(str(error)) from error
    for name, outcome in done.items():
        click.echo(f"{directory / name}: {outcome}")
    for name, value in typed.items():
        click.echo(f"{env_file}: {name}={value}")
    if domain is not None:
        for line in _opening(wanted, whole="DOMAIN" in typed):
            click.echo(line)
    click.echo(f"Relay on port {handed_out.port}, UDP and TCP, at {where.note}")


def _require_ports(directory: Path, wanted: Installation) -> None:
    from turnctl.host.ports import bound_sockets
    from turnctl.setup import freeports

    path = directory / "turn-secret"
    with files.owned(directory):
        known = path.exists()
    secrets = datadir.secrets_in(path)[0] if known else ()
    needed = freeports.needs(wanted, secrets, directory)
    try:
        bound = bound_sockets()
    except OSError:
        return  # this system has no list of sockets, so nothing is refused
    if found := [str(one) for one in freeports.taken(needed, bound)]:
        raise Failure("\n".join(found))


def _opening(wanted: Installation, *, whole: bool) -> Iterator[str]:
    """What has to be open outside of this host, each with what can be told from here."""
    from turnctl.deployment import reachability
    from turnctl.host import interfaces

    came_back = dict.fromkeys(reachability.ports(wanted), False)
    if whole and wanted.where.external is not None:
        # Through the NAT and back: without one a packet to the public address never leaves here.
        came_back = interfaces.ports_that_come_back(
            wanted.where.external, wanted.where.listen[0], came_back
        )
    a, aaaa = asyncio.run(interfaces.dns_answers(wanted.domain or ""))
    records = list(reachability.records(wanted, a, aaaa))
    return reachability.render(wanted, records, came_back, whole=whole)


def _typed(**values: str | None) -> dict[str, str]:
    """Those that came by the command line: what the environment says is in .env already."""
    source = click.get_current_context().get_parameter_source
    options = {"DOMAIN": "domain", "ACME_EMAIL": "email"}
    return {
        name: value
        for name, value in values.items()
        if value is not None and source(options[name]) is ParameterSource.COMMANDLINE
    }


def _http_host(*, loopback: bool) -> str:
    # Over both families: a host may have no IPv4 address.
    return "127.0.0.1" if loopback else "::"


def _installed_version() -> versions.Version:
    try:
        version = installed_version()
    except NoVersion as error:
        raise Failure(str(error)) from error
    if version is None:
        raise click.UsageError(
            "no turnserver is installed here; name the version that will run with "
            "--coturn-version, for example --coturn-version 4.18.0"
        )
    return version


def _fit_version(named: versions.Version | None, image: str | None) -> versions.Version:
    """The version that will run. Raises Failure for one that must not be deployed."""
    version = named or _installed_version()
    source = "turnserver --version" if named is None else "--coturn-version or COTURN_VERSION"
    seen = {source: version, f"image {image}": versions.version_of_image(image or "")}
    for where, one in seen.items():
        if one is not None and (why := versions.refused(one)):
            raise Failure(f"{why} ({where})")
    return version


def _place(
    version: versions.Version,
    external_ip: str | None,
    listen: tuple[str, ...],
    asked: tuple[Server, ...],
    port: int,
) -> Placement:
    from turnctl.host import interfaces

    return place(
        interfaces.own_addresses() if not listen else OwnAddresses(()),
        version=version,
        external_ip=external_ip,
        listen=listen,
        ask=lambda: interfaces.ask_stun(asked),
        comes_back=lambda public, own: interfaces.udp_comes_back(public, own, port),
    )
