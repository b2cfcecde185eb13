"""What `check` and `watch` have in common on the command line: targets, and ways to reach them.

Owns the reading and the refusal of these options; what they mean is the examination's business.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from signalpost.credentials import Secret
from signalpost.iceservers import IceUri, IceUriError, parse_uri
from signalpost.secretfile import SecretFileError, read_secrets
from turnctl.commands.errors import Misuse

__all__ = ["MAX_TIMEOUT", "Seconds", "Whole", "options", "request_from"]

MAX_TIMEOUT = 120.0

F = TypeVar("F", bound=Callable[..., Any])


class Seconds(click.FloatRange):
    """A number of seconds within bounds."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        try:
            seconds = float(super().convert(value, param, ctx))
        except click.BadParameter:
            seconds = math.nan
        if math.isnan(seconds):  # which is neither below the minimum nor above the maximum
            bounds = f"from {self.min:g} to {self.max:g}"
            self.fail(f"{value!r} is not a number of seconds {bounds}", param, ctx)
        return seconds


class Whole(click.IntRange):
    """A whole number within bounds; what is no number is told the bounds too."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number from {self.min} to {self.max}", param, ctx)


class _StunUri(click.ParamType[IceUri]):
    name = "URI"

    def convert(self, value: Any, param: Any, ctx: Any) -> IceUri:
        try:
            uri = parse_uri(str(value))
        except IceUriError as error:
            self.fail(str(error), param, ctx)
        if uri.transport != "udp" or uri.secure:
            self.fail(f"{value!r}: must be asked over UDP, as in stun:HOST:3478", param, ctx)
        return uri


_FILE = click.Path(path_type=Path)

_OPTIONS = (
    click.argument("targets", nargs=-1, metavar="[TARGET]..."),
    click.option(
        "--secret-file",
        type=_FILE,
        metavar="FILE",
        help="coturn's static-auth-secret: mints credentials for a URI, tells causes of a 401.",
    ),
    click.option("--username", metavar="NAME", help="A fixed credential for stun:/turn: targets."),
    click.option("--credential", metavar="PASSWORD", help="What goes with --username."),
    click.option(
        "--api-key-file",
        type=_FILE,
        metavar="FILE",
        help="A key of the service that hands out the iceServers; tells causes of a 401 too.",
    ),
    click.option("--relay-only", is_flag=True, help="Leave out STUN URLs and the srflx leg."),
    click.option("--family", type=click.Choice(["4", "6"]), help="Only IPv4 or only IPv6."),
    click.option(
        "--timeout",
        type=Seconds(0.5, MAX_TIMEOUT),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="For each URL.",
    ),
    click.option(
        "--stun-echo",
        type=_StunUri(),
        help="An independent STUN server: tells this network's blocks from the server's.",
    ),
    click.option(
        "--ca", type=_FILE, metavar="FILE", help="PEM bundle to trust instead of the system's."
    ),
    click.option(
        "--audit",
        is_flag=True,
        help="Also: peers a relay must refuse, amplification, versions with known holes.",
    ),
    click.option("--insecure", is_flag=True, help="Go on although a certificate is not trusted."),
)


def options(command: F) -> F:
    """Give a command the arguments and options above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def request_from(given: dict[str, Any]) -> Any:
    """The Request that these options ask for. Raises Misuse."""
    from turnctl.check.engine import Options
    from turnctl.check.examine import Request
    from turnctl.check.sources import DEFAULT_TARGET, Access

    if (given["username"] is None) != (given["credential"] is None):
        raise Misuse("--username and --credential go together: give both")
    for name in ("username", "credential"):
        if not (given[name] or "").isprintable():
            raise Misuse(f"--{name} holds characters that cannot be printed, or is not UTF-8")
    secrets, api_keys = _secrets(given["secret_file"]), _secrets(given["api_key_file"])
    family = given["family"]
    return Request(
        targets=given["targets"] or (DEFAULT_TARGET,),
        access=Access(
            secret=secrets[0] if secrets else None,
            login=(given["username"], given["credential"]) if given["username"] else None,
            api_key=api_keys[0] if api_keys else None,
        ),
        options=Options(
            timeout=given["timeout"],
            relay_only=given["relay_only"],
            audit=given["audit"],
            insecure=given["insecure"],
            ca=given["ca"],
            reference=given["stun_echo"],
        ),
        families=(4, 6) if family is None else (4,) if family == "4" else (6,),
        context=_context(given["ca"], verify=not given["insecure"]),
    )


def _secrets(path: Path | None) -> list[Secret]:
    try:
        return read_secrets(path) if path is not None else []
    except SecretFileError as error:
        raise Misuse(str(error)) from error


def _context(ca: Path | None, *, verify: bool) -> ssl.SSLContext:
    from turnctl.wire import tls

    try:
        return tls.context(ca, verify=verify)
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "holds no certificate"
        raise Misuse(f"--ca {ca}: {reason}; give a PEM file with CA certificates") from error
