"""`turnctl init`: secrets, the service's configuration and coturn's, for this host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from turnctl.commands import stunservers
from turnctl.commands.errors import Failure
from turnctl.commands.options import Option, Whole, options_of
from turnctl.commands.stunservers import Server
from turnctl.coturn import versions
from turnctl.deployment.domain import parse as parse_domain
from turnctl.deployment.placement import NoPlace
from turnctl.deployment.relays import SHARES
from turnctl.host.files import Unusable
from turnctl.setup.choices import EDGE_PORT, Choices, Conflict
from turnctl.setup.initialize import initialize

__all__ = ["choices_from", "init"]


def _address(value: str) -> str:
    """An IP address in its canonical form, so that addresses can be compared."""
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
        raise ValueError(f"a relay can't use the address {value}")
    return str(address)


def _realm(value: str) -> str:
    """Stricter than RFC 8489's realm: coturn's file holds it unquoted."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", value):
        raise ValueError(f"{value!r} is not a name of letters, digits, dots and hyphens")
    return value


def _email(value: str) -> str:
    """Stricter than RFC 5321: .env holds it unquoted."""
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
    """A name from the environment must be in its canonical form: other programs read it there."""
    if value is None:
        return None
    try:
        name = parse_domain(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if name != value and ctx.get_parameter_source("domain") is ParameterSource.ENVIRONMENT:
        raise click.BadParameter(f"write it as DOMAIN={name}, not {value!r}")
    return name


def _option(name: str, variable: str | None = None, **more: Any) -> Option:
    """An option that can also come from an environment variable, as compose.yaml sets it."""
    return click.option(name, envvar=variable, show_envvar=variable is not None, **more)


_DEFAULT = Choices()
_PORT = Whole(1, 65535)
_RELAY_PORT = Whole(1024, 65535)
_COUNT = Whole(1, 10_000_000)
_BYTES = Whole(10_000, 1_000_000_000_000)


def _given(name: str, variable: str | None = None, **more: Any) -> Option:
    """An option whose default is that of Choices, shown in the help."""
    field = name.removeprefix("--").replace("-", "_")
    default = getattr(_DEFAULT, field)
    return _option(name, variable, default=default, show_default=True, **more)


OPTIONS: dict[str, Option] = {
    "directory": click.option(
        "--dir",
        "directory",
        # Root may not be allowed to read a directory whose owner it becomes.
        type=click.Path(path_type=Path, file_okay=False, readable=False),
        default=_DEFAULT.directory,
        show_default=True,
        help="Data directory; made if it doesn't exist.",
    ),
    "domain": _option(
        "--domain",
        "DOMAIN",
        metavar="NAME",
        callback=_reads_domain,
        help="DNS name of this host, for HTTPS and TURN over TLS.",
    ),
    "email": _option(
        "--email",
        "ACME_EMAIL",
        metavar="ADDRESS",
        callback=_reads(_email),
        help="Contact address for the CA, with --domain.",
    ),
    "env_file": _given(
        "--env-file",
        type=click.Path(path_type=Path, dir_okay=False, readable=False),
        help="File that records --domain and --email when you give them here.",
    ),
    "external_ip": _option(
        "--external-ip",
        "EXTERNAL_IP",
        metavar="ADDRESS",
        callback=_reads(_relay_address),
        help="Public address at which clients reach this host. Default: detected.",
    ),
    "listen": click.option(
        "--listen",
        metavar="ADDRESS",
        callback=_reads(_relay_address),
        multiple=True,
        help="An address of this host to listen and relay on. Can be repeated. Default: detected.",
    ),
    "local": click.option(
        "--local", is_flag=True, help="Let the service listen on 127.0.0.1 only."
    ),
    "coturn_version": _option(
        "--coturn-version",
        "COTURN_VERSION",
        metavar="VERSION",
        callback=_reads(versions.parse_version),
        help="The coturn version to write the files for. Default: the installed one.",
    ),
    "coturn_image": click.option(
        "--coturn-image",
        metavar="IMAGE",
        help="The coturn image you will run. Rejected if its tag is a version known not to work.",
    ),
    "realm": _given("--realm", callback=_reads(_realm), help="TURN realm."),
    "relay": _given(
        "--relay",
        type=click.Choice(["coturn", "coturn-next"]),
        help="Relay that clients are sent to; coturn-next during an upgrade.",
    ),
    "only": click.option(
        "--only",
        type=click.Choice([*SHARES]),
        multiple=True,
        help="Write only this relay's files; repeatable. The others may run another version.",
    ),
    "port": _given("--port", "TURN_PORT", type=_PORT, help="TURN port, UDP and TCP."),
    "next_port": _option(
        "--next-port",
        "TURN_NEXT_PORT",
        type=_PORT,
        help="TURN port of the relay that an upgrade starts. Default: no such relay.",
    ),
    "edge_port": _option(
        "--edge-port",
        "EDGE_TURN_PORT",
        type=_PORT,
        help="Loopback port to which the edge forwards TURN. The relay uses the next port for "
        f"plain TURN. Default with a domain: {EDGE_PORT}.",
    ),
    "edge_next_port": _option(
        "--edge-next-port",
        "EDGE_TURN_NEXT_PORT",
        type=_PORT,
        help="The same for the relay that an upgrade starts.",
    ),
    "min_port": _given("--min-port", type=_RELAY_PORT, help="First relay port."),
    "max_port": _given("--max-port", type=_RELAY_PORT, help="Last relay port."),
    "user_quota": _given(
        "--user-quota",
        "TURN_USER_QUOTA",
        type=_COUNT,
        help="Allocations per user at each relay.",
    ),
    "total_quota": _option(
        "--total-quota",
        "TURN_TOTAL_QUOTA",
        type=_COUNT,
        help="Allocations in total at each relay. Default: half of its ports.",
    ),
    "max_bps": _given(
        "--max-bps", "TURN_MAX_BPS", type=_BYTES, help="Bytes per second for one allocation."
    ),
    "bps_capacity": _option(
        "--bps-capacity",
        "TURN_BPS_CAPACITY",
        type=_BYTES,
        help="Bytes per second for all allocations at each relay. Default: no limit.",
    ),
    "http_host": click.option(
        "--http-host",
        metavar="ADDRESS",
        callback=_reads(_address),
        help="Address the service listens on. Default: all, or 127.0.0.1 with --domain.",
    ),
    "http_port": _option(
        "--http-port",
        "PORT",
        type=_PORT,
        default=_DEFAULT.http_port,
        show_default=True,
        help="Port of the service.",
    ),
    "edge_http": _given(
        "--edge-http",
        "HTTP_PORT",
        type=_PORT,
        help="With --domain: the edge's HTTP port, for the CA's challenge and redirects.",
    ),
    "edge_https": _given(
        "--edge-https",
        "HTTPS_PORT",
        type=_PORT,
        help="With --domain: the edge's port for HTTPS and TURN over TLS.",
    ),
    "metrics_port": _given(
        "--metrics-port",
        "METRICS_PORT",
        type=_PORT,
        help="Port of the service's metrics, for Prometheus.",
    ),
    "probe_port": _given(
        "--probe-port",
        "PROBE_PORT",
        type=_PORT,
        help="Port of the probe's metrics, for Prometheus.",
    ),
    "check_ports": click.option(
        "--check-ports",
        is_flag=True,
        help="Continue only if the ports are free or used by this deployment itself.",
    ),
    "force": click.option(
        "--force", is_flag=True, help="Replace signalpost.yaml even if it was edited."
    ),
}
"""Field of Choices → its option."""


@click.command()
@options_of(Choices, OPTIONS)
@stunservers.options
def init(choices: Choices, stun: tuple[Server, ...], no_stun: bool) -> None:
    """Write secrets, signalpost.yaml and coturn's turnserver.conf for this host.

    You can run it again at any time. It never overwrites a secret, and keeps a signalpost.yaml that
    you edited, but it always writes turnserver.conf anew: your own changes there are lost.
    """
    choices = replace(choices, stun_servers=stunservers.chosen(stun, no_stun))
    record = _typed({"DOMAIN": choices.domain, "ACME_EMAIL": choices.email})
    try:
        report = initialize(choices, record=record)
    except Conflict as error:
        raise click.UsageError(str(error)) from None
    except (Unusable, NoPlace) as error:
        raise Failure(str(error)) from error
    for line in report.lines():
        click.echo(line)
    if choices.domain is not None:
        from turnctl.setup.network import advice

        for line in advice(report.installation, full="DOMAIN" in record):
            click.echo(line)
    click.echo(report.summary())


def choices_from(arguments: Sequence[str]) -> Choices:
    """What init would be asked to do with these arguments and this environment.

    Raises click.ClickException.
    """
    given: dict[str, Any] = dict(init.make_context("init", [*arguments]).params)
    servers = stunservers.chosen(given.pop("stun"), given.pop("no_stun"))
    return Choices(**given, stun_servers=servers)


def _typed(values: dict[str, str | None]) -> dict[str, str]:
    """Those given on the command line. What the environment holds is in .env already."""
    source = click.get_current_context().get_parameter_source
    options = {"DOMAIN": "domain", "ACME_EMAIL": "email"}
    return {
        name: value
        for name, value in values.items()
        if value is not None and source(options[name]) is ParameterSource.COMMANDLINE
    }
