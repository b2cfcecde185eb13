"""The command-line options that several commands share: targets, and how to reach them.

`options_of` turns a command's options into one dataclass, so that a command takes a typed object
and a command with fewer options has the defaults of the rest.
"""

from __future__ import annotations

import functools
import math
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from signalpost.credentials import Secret
from signalpost.iceservers import IceUri, IceUriError, parse_uri
from signalpost.secretfile import SecretFileError, read_secrets
from turnctl.commands.errors import Misuse

if TYPE_CHECKING:
    from turnctl.check.examine import Request
    from turnctl.check.targets import Access

__all__ = ["MAX_TIMEOUT", "CheckOptions", "Seconds", "Whole", "options_of", "target_options"]

MAX_TIMEOUT = 120.0

Command = Callable[..., Any]
Option = Callable[[Command], Command]
"""One of click's decorators: an option or an argument."""


def options_of(kind: Callable[..., Any], declared: Mapping[str, Option]) -> Option:
    """Give a command the declared options, and pass them to it as one object, its first argument.

    `kind` is a dataclass; `declared` has click's decorators by the names of its fields.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def filled(**given: Any) -> Any:
            mine = {name: given.pop(name) for name in declared}
            return command(kind(**mine), **given)

        made: Command = filled
        for option in reversed([*declared.values()]):
            made = option(made)
        return made

    return decorate


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
    """A whole number within bounds. The error names the bounds."""

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
            self.fail(
                f"{value!r}: must be a STUN server over UDP, such as stun:HOST:3478", param, ctx
            )
        return uri


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The options of `check`, as typed. `family` is "4" or "6", None for both."""

    targets: tuple[str, ...] = ()
    secret_file: Path | None = None
    username: str | None = None
    credential: str | None = None
    api_key_file: Path | None = None
    relay_only: bool = False
    family: str | None = None
    timeout: float = 5.0
    stun_echo: IceUri | None = None
    ca: Path | None = None
    audit: bool = False
    insecure: bool = False

    def request(self) -> Request:
        """What these options ask for; reads the secret and key files. Raises Misuse."""
        from turnctl.check.engine import Options
        from turnctl.check.examine import Request
        from turnctl.check.targets import DEFAULT_TARGET

        return Request(
            targets=self.targets or (DEFAULT_TARGET,),
            access=self._access(),
            options=Options(
                timeout=self.timeout,
                relay_only=self.relay_only,
                audit=self.audit,
                insecure=self.insecure,
                ca=self.ca,
                reference=self.stun_echo,
            ),
            families=(4, 6) if self.family is None else (4,) if self.family == "4" else (6,),
            context=_context(self.ca, verify=not self.insecure),
        )

    def _access(self) -> Access:
        from turnctl.check.targets import Access

        if (self.username is None) != (self.credential is None):
            raise Misuse("--username and --credential go together: give both")
        for name, value in (("username", self.username), ("credential", self.credential)):
            if not (value or "").isprintable():
                raise Misuse(f"--{name} has characters that can't be printed or aren't UTF-8")
        secrets, api_keys = _secrets(self.secret_file), _secrets(self.api_key_file)
        return Access(
            secret=secrets[0] if secrets else None,
            login=(self.username, self.credential or "") if self.username else None,
            api_key=api_keys[0] if api_keys else None,
        )


_FILE = click.Path(path_type=Path)

_DECLARED: dict[str, Option] = {
    "targets": click.argument("targets", nargs=-1, metavar="[TARGET]..."),
    "secret_file": click.option(
        "--secret-file",
        type=_FILE,
        metavar="FILE",
        help="File with coturn's static-auth-secret, to make credentials and to explain a 401.",
    ),
    "username": click.option(
        "--username", metavar="NAME", help="User name of a fixed credential, for turn: targets."
    ),
    "credential": click.option(
        "--credential", metavar="PASSWORD", help="The password for --username."
    ),
    "api_key_file": click.option(
        "--api-key-file",
        type=_FILE,
        metavar="FILE",
        help="An API key of the service that issues the iceServers; helps to explain a 401.",
    ),
    "relay_only": click.option(
        "--relay-only", is_flag=True, help="Skip STUN URLs and the srflx test."
    ),
    "family": click.option("--family", type=click.Choice(["4", "6"]), help="Only IPv4 or IPv6."),
    "timeout": click.option(
        "--timeout",
        type=Seconds(0.5, MAX_TIMEOUT),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="Time limit for each URL.",
    ),
    "stun_echo": click.option(
        "--stun-echo",
        type=_StunUri(),
        help="An independent STUN server: shows whether this network or the server blocks UDP.",
    ),
    "ca": click.option(
        "--ca",
        type=_FILE,
        metavar="FILE",
        help="CA certificates (PEM) to trust instead of the system's.",
    ),
    "audit": click.option(
        "--audit",
        is_flag=True,
        help="Also look for peers a relay must refuse, amplification, and vulnerable versions.",
    ),
    "insecure": click.option(
        "--insecure", is_flag=True, help="Continue if a certificate isn't trusted."
    ),
}


def target_options(
    *, without: Collection[str] = (), instead: Mapping[str, Option] | None = None
) -> Option:
    """Give a command the options of `check`, as one CheckOptions.

    `without` names fields that keep their defaults; `instead` has options of the command's own.
    """
    declared = {name: one for name, one in _DECLARED.items() if name not in without}
    return options_of(CheckOptions, declared | dict(instead or {}))


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
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it has no certificate"
        raise Misuse(f"--ca {ca}: {reason}; give a PEM file with CA certificates") from error
