"""`turnctl init`: secrets, the service's configuration and coturn's, for this host.

It can be run at any time: secrets are made once, coturn's file is written anew from them, and a
`signalpost.yaml` that somebody edited is left alone.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml

from signalpost.iceservers import IceUriError, parse_uri
from turnctl import coturn, datadir
from turnctl.commands import Failure
from turnctl.placement import NoPlace, Own, Placement, place

__all__ = ["init"]

KEY_FILES = ("api-key", "token-key", "id-key")
DIGEST = re.compile(r"\A(?:#.*\n)*?# sha256 ([0-9a-f]{64})\n")


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


def _stun_server(value: str) -> tuple[str, int]:
    """host[:port], or a stun: URI."""
    try:
        uri = parse_uri(value if value.startswith("stun:") else f"stun:{value}")
    except IceUriError as error:
        raise ValueError(f"{value!r}: {error.reason}") from None
    return uri.host, uri.port


def _realm(value: str) -> str:
    """Narrower than RFC 8489's realm: it stands in a line of coturn's file as it is."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,126}", value):
        raise ValueError(f"{value!r} is not a name of letters, digits, dots and hyphens")
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


_PORT = click.IntRange(1, 65535)
_RELAY_PORT = click.IntRange(1024, 65535)


@click.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".signalpost"),
    show_default=True,
    help="Data directory; made if need be.",
)
@click.option(
    "--external-ip",
    metavar="ADDRESS",
    callback=_reads(_relay_address),
    envvar="EXTERNAL_IP",
    show_envvar=True,
    help="Public address that clients reach this host at. Left out: it is found.",
)
@click.option(
    "--listen",
    metavar="ADDRESS",
    callback=_reads(_relay_address),
    multiple=True,
    help="This host's address to listen and relay on; repeatable. Left out: it is found.",
)
@click.option(
    "--stun",
    metavar="HOST[:PORT]",
    callback=_reads(_stun_server),
    multiple=True,
    envvar="STUN_SERVERS",
    show_envvar=True,
    help="STUN server asked for the public address; repeatable. Default: two public ones.",
)
@click.option("--no-stun", is_flag=True, envvar="NO_STUN", show_envvar=True, help="Ask none.")
@click.option("--local", is_flag=True, help="The service listens on 127.0.0.1 alone.")
@click.option(
    "--coturn-version",
    metavar="VERSION",
    callback=_reads(coturn.parse_version),
    envvar="COTURN_VERSION",
    show_envvar=True,
    help="coturn that will run. Default: ask the turnserver installed here.",
)
@click.option("--realm", callback=_reads(_realm), default="signalpost", show_default=True)
@click.option("--port", type=_PORT, default=3478, show_default=True, help="TURN, UDP and TCP.")
@click.option("--min-port", type=_RELAY_PORT, default=49152, show_default=True)
@click.option("--max-port", type=_RELAY_PORT, default=65535, show_default=True)
@click.option(
    "--coturn-group",
    type=click.IntRange(0),
    metavar="GID",
    help="Group that may read coturn's file, when coturn runs as another user.",
)
@click.option(
    "--http-host",
    metavar="ADDRESS",
    callback=_reads(_address),
    help="Address of the service. Default: all.",
)
@click.option("--http-port", type=_PORT, default=8080, show_default=True)
@click.option("--force", is_flag=True, help="Replace signalpost.yaml even when it was edited.")
def init(
    directory: Path,
    external_ip: str | None,
    listen: tuple[str, ...],
    stun: tuple[tuple[str, int], ...],
    no_stun: bool,
    local: bool,
    coturn_version: coturn.Version | None,
    realm: str,
    port: int,
    min_port: int,
    max_port: int,
    coturn_group: int | None,
    http_host: str | None,
    http_port: int,
    force: bool,
) -> None:
    """Write secrets, signalpost.yaml and coturn's turnserver.conf for this host.

    Run it again at any time: a secret is never overwritten, turnserver.conf is written anew, and
    a signalpost.yaml that you edited stays as it is.
    """
    if min_port > max_port:
        raise click.UsageError(f"--min-port {min_port} is above --max-port {max_port}")
    if min_port <= port <= max_port:
        raise click.UsageError(
            f"--port {port} lies in the relay range {min_port}-{max_port}; choose it outside"
        )
    if no_stun and stun:
        raise click.UsageError("--stun and --no-stun exclude each other")
    try:
        version = coturn_version or _installed_version()
        where = _place(version, external_ip, listen, None if no_stun else stun, port)
        with datadir.locked(directory):
            turn_secrets, made = datadir.secrets_in(directory / "turn-secret")
            done = {"turn-secret": "made" if made else "kept"}
            for name in KEY_FILES:
                done[name] = "made" if datadir.secrets_in(directory / name)[1] else "kept"
            home = directory.resolve() / "coturn"
            configuration = coturn.Configuration(
                version, realm, turn_secrets, where.listen, str(home), where.external,
                port, min_port, max_port, where.note,
            )  # fmt: skip
            _write_coturn(home, configuration, coturn_group)
            done["coturn/turnserver.conf"] = f"written for coturn {version}"
            host = http_host or ("127.0.0.1" if local else "0.0.0.0")  # noqa: S104  the service's own port is meant to be reached
            settings = _settings(where, port, host, http_port)
            done["signalpost.yaml"] = _write_settings(
                directory / "signalpost.yaml", settings, force=force
            )
    except (datadir.Unusable, NoPlace) as error:
        raise Failure(str(error)) from error
    for name, outcome in done.items():
        click.echo(f"{directory / name}: {outcome}")
    click.echo(f"Relay on port {port}, UDP and TCP, at {where.note}")


def _installed_version() -> coturn.Version:
    program = shutil.which("turnserver")
    if program is None:
        raise click.UsageError(
            "no turnserver is installed here; name the version that will run with "
            "--coturn-version, for example --coturn-version 4.18.0"
        )
    said = subprocess.run(  # noqa: S603  a fixed argument list
        [program, "--version"], capture_output=True, text=True, check=False, timeout=10
    )
    try:
        return coturn.parse_version(said.stdout)
    except ValueError as error:
        raise Failure(f"turnserver --version: {error}") from error


def _place(
    version: coturn.Version,
    external_ip: str | None,
    listen: tuple[str, ...],
    stun: tuple[tuple[str, int], ...] | None,
    port: int,
) -> Placement:
    from turnctl import host

    default = tuple(map(_stun_server, host.STUN_SERVERS))
    return place(
        host.own_addresses() if not listen else Own(()),
        version=version,
        external_ip=external_ip,
        listen=listen,
        ask=lambda: host.ask(() if stun is None else stun or default),
        comes_back=lambda public, own: host.comes_back(public, own, port),
    )


def _write_coturn(home: Path, configuration: coturn.Configuration, group: int | None) -> None:
    try:
        home.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise datadir.Unusable(f"{home}: {error.strerror}") from error
    mode = 0o400 if group is None else 0o440
    datadir.write(home / "turnserver.conf", coturn.render(configuration), mode=mode, group=group)


def _settings(where: Placement, port: int, http_host: str, http_port: int) -> str:
    """signalpost.yaml: a comment with the digest of what follows, then the settings."""
    body = yaml.safe_dump(
        {
            "http": {"host": http_host, "port": http_port},
            "turn": {
                "secrets_file": "turn-secret",
                "relays": [{"host": host, "udp": port, "tcp": port} for host in where.advertised],
            },
            "auth": {
                "api_keys_file": "api-key",
                "token_keys_file": "token-key",
                "id_key_file": "id-key",
            },
        },
        sort_keys=False,
    )
    return (
        "# Made by `turnctl init`. Once you edit it init leaves it alone; `turnctl init --force`\n"
        f"# writes it anew. Relay at {where.note}\n"
        f"# sha256 {hashlib.sha256(body.encode()).hexdigest()}\n{body}"
    )


def _is_edited(text: str) -> bool:
    found = DIGEST.match(text)
    if found is None:
        return True
    return hashlib.sha256(text[found.end() :].encode()).hexdigest() != found.group(1)


def _write_settings(path: Path, settings: str, *, force: bool) -> str:
    try:
        present = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        present = None
    except (OSError, UnicodeDecodeError) as error:
        raise datadir.Unusable(f"{path}: {error}") from error
    if present is not None and not force and _is_edited(present):
        relays = json.dumps(yaml.safe_load(settings)["turn"]["relays"])
        return f"kept, since it was edited (--force writes it anew); found: relays {relays}"
    datadir.write(path, settings, mode=0o644)
    return "written"
