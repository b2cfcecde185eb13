"""Set up a data directory: from the operator's choices and what this host has to files.

It can run at any time. Secrets are made once, coturn's files are written again, and a
signalpost.yaml that somebody edited stays as it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from turnctl.coturn import versions
from turnctl.coturn.program import NoVersion, installed_version
from turnctl.deployment import datadir, dotenv
from turnctl.deployment.installation import Installation, install
from turnctl.deployment.placement import Placement, place
from turnctl.host import files
from turnctl.host.addresses import OwnAddresses
from turnctl.host.files import Unusable
from turnctl.rotation.keyring import finish_overdue
from turnctl.setup.choices import Choices, Conflict

__all__ = ["Report", "initialize"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did. `files` has an outcome for each file, `recorded` what was put into .env,
    `expired` the secrets whose old values were removed."""

    choices: Choices
    installation: Installation
    expired: tuple[str, ...]
    files: Mapping[str, str]
    recorded: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """The report for the operator."""
        directory = self.choices.directory
        for name in self.expired:
            yield f"{directory / name}: the old value has expired and was removed"
        for name, outcome in self.files.items():
            yield f"{directory / name}: {outcome}"
        for name, value in self.recorded.items():
            yield f"{self.choices.env_file}: {name}={value}"

    def summary(self) -> str:
        """The last line: where the relay is."""
        port = self.installation.handed_out.port
        return f"Relay on port {port}, UDP and TCP, at {self.installation.where.note}"


def initialize(choices: Choices, *, record: Mapping[str, str]) -> Report:
    """Write secrets, configuration and coturn's files, and put `record` into .env.

    Raises Conflict for choices that exclude each other, Unusable for files, versions and ports that
    can't be used, NoPlace when there is no address for the relay.
    """
    relays, handed_out, limits = choices.relays(), choices.handed_out(), choices.limits()
    version = _version(choices.coturn_version, choices.coturn_image)
    installation = Installation(
        version=version,
        realm=choices.realm,
        where=_placement(choices, version),
        relays=relays,
        handed_out=handed_out,
        limits=limits,
        http=choices.http(),
        domain=choices.domain,
        edge_http=choices.edge_http,
        edge_https=choices.edge_https,
        figures={"signalpost": choices.metrics_port, "turnctl": choices.probe_port},
        only=choices.only,
    )
    with files.locked(choices.directory):
        if choices.check_ports:
            _require_free_ports(choices.directory, installation)
        now = datetime.datetime.now(datetime.UTC)
        expired = finish_overdue(choices.directory, now.timestamp())
        written = install(choices.directory, installation, force=choices.force, now=now)
    if record:
        dotenv.keep(choices.env_file, record)
    return Report(choices, installation, tuple(expired), written, record)


def _require_free_ports(directory: Path, installation: Installation) -> None:
    from turnctl.host.ports import bound_sockets
    from turnctl.setup import freeports

    path = directory / "turn-secret"
    with files.owned(directory):
        exists = path.exists()
    secrets = datadir.secrets_in(path)[0] if exists else ()
    needed = freeports.needs(installation, secrets, directory)
    try:
        bound = bound_sockets()
    except OSError:
        return  # this system doesn't list its sockets, so no port can be called taken
    if found := [str(one) for one in freeports.taken(needed, bound)]:
        raise Unusable("\n".join(found))


def _version(named: versions.Version | None, image: str | None) -> versions.Version:
    """The version that will run. Raises Unusable for one that must not be deployed."""
    version = named or _installed_version()
    source = "turnserver --version" if named is None else "--coturn-version or COTURN_VERSION"
    found = {source: version, f"image {image}": versions.version_of_image(image or "")}
    for where, one in found.items():
        if one is not None and (why := versions.refused(one)):
            raise Unusable(f"{why} ({where})")
    return version


def _installed_version() -> versions.Version:
    try:
        version = installed_version()
    except NoVersion as error:
        raise Unusable(str(error)) from error
    if version is None:
        raise Conflict(
            "turnserver isn't installed here. Name the version that will run, for example "
            "--coturn-version 4.18.0"
        )
    return version


def _placement(choices: Choices, version: versions.Version) -> Placement:
    from turnctl.host import interfaces

    return place(
        interfaces.own_addresses() if not choices.listen else OwnAddresses(()),
        version=version,
        external_ip=choices.external_ip,
        listen=choices.listen,
        ask=lambda: interfaces.ask_stun(choices.stun_servers),
        comes_back=lambda public, own: interfaces.udp_comes_back(public, own, choices.port),
    )
