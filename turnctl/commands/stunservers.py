"""The options for the STUN servers that are asked for this host's public address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from signalpost.iceservers import IceUriError, parse_uri

__all__ = ["PUBLIC", "Server", "chosen", "options"]

Server = tuple[str, int]

PUBLIC: tuple[Server, ...] = (("stun.cloudflare.com", 3478), ("stun.l.google.com", 19302))
"""The default. They have two operators, so that one may be down."""

F = TypeVar("F", bound=Callable[..., Any])


class _Server(click.ParamType[Server]):
    name = "HOST[:PORT]"

    def convert(self, value: Any, param: Any, ctx: Any) -> Server:
        if isinstance(value, tuple):
            return value
        try:
            uri = parse_uri(value if value.startswith("stun:") else f"stun:{value}")
        except IceUriError as error:
            self.fail(f"{value!r}: {error.reason}", param, ctx)
        return uri.host, uri.port


def options(command: F) -> F:
    """Add --stun and --no-stun to a command, as its arguments `stun` and `no_stun`."""
    asked = click.option(
        "--stun",
        type=_Server(),
        multiple=True,
        envvar="STUN_SERVERS",
        show_envvar=True,
        help="A STUN server to ask for this host's public address, or a stun: URI. Repeatable. "
        "Default: two public servers.",
    )
    none = click.option(
        "--no-stun", is_flag=True, envvar="NO_STUN", show_envvar=True, help="Ask no STUN server."
    )
    return asked(none(command))


def chosen(stun: tuple[Server, ...], no_stun: bool) -> tuple[Server, ...]:
    """The servers to ask; none with --no-stun. Raises UsageError."""
    if no_stun and stun:
        raise click.UsageError("--stun and --no-stun exclude each other: use one of them")
    return () if no_stun else stun or PUBLIC
