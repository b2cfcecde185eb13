"""All looks at this host, one after the other: what each needs, and what keeps it from being made.

A look that raises Unseen is skipped with its reason; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.coturn import commandline
from turnctl.coturn.log import version_in
from turnctl.coturn.parsing import Conf, parse
from turnctl.coturn.versions import Version, holes, is_broken, version_of_image
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import (
    Look,
    Unseen,
    addresses,
    buffers,
    certificates,
    containers,
    coturnuser,
    listeners,
    log,
    nftables,
    optionrules,
    secrets,
)
from turnctl.doctor.catalogue import found
from turnctl.doctor.containers import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.storage import TURNSERVER, Deployment, InContainers, InDirectory
from turnctl.doctor.version import vulnerable
from turnctl.host.addresses import MappedAddress, is_public

__all__ = ["Host", "container_looks", "hinders", "looks", "text_of", "told"]


@dataclass(frozen=True, slots=True)
class Host:
    """What is looked at. `project` is a reason when the engine could not be asked. `ask` gives the
    address others see, `installed` the version of the turnserver installed here."""

    deployment: Deployment
    project: Project | str
    ask: Callable[[], MappedAddress | str]
    installed: Callable[[], Version | None]


def looks(host: Host) -> Iterator[Look]:
    """Every look, in the order in which a person would go about it."""
    conf: Conf | str
    try:
        conf = _conf(host.deployment)
    except Unseen as error:
        conf = str(error)
    try:
        written = host.deployment.log() or "coturn's log: there is none here"
    except Unseen as error:
        written = str(error)
    version, source = _version(host, conf, written)
    yield _containers(host.project)
    yield _guarded("configuration", lambda: _configuration(host, _known(conf), version))
    yield _guarded("certificates", lambda: _certificates(host.deployment, _known(conf)))
    yield _guarded("secrets", lambda: _secrets(host.deployment, _known(conf)))
    yield _guarded("log", lambda: _log(written))
    yield _guarded("version", lambda: _judge_version(version, source, conf))
    yield _guarded("ports", lambda: _ports(host.deployment, _known(conf)))
    yield _guarded("listeners", lambda: listeners.look(_own(host, conf)))
    yield _guarded("addresses", lambda: addresses.look(_own(host, conf), host.ask))
    yield _guarded("firewall", lambda: nftables.look(_own(host, conf)))
    yield buffers.look()


def container_looks(
    project: Project,
    ask: Callable[[], MappedAddress | str],
    installed: Callable[[], Version | None],
) -> Iterator[Look]:
    """One container that runs coturn, with or without compose: its state, the options of its
    command line and of its file, its log, its ports; on host networking the host's side as well."""
    host = Host(InContainers(project), project, ask, installed)
    (one,) = project.containers
    conf: Conf | str
    try:
        conf = _container_conf(project, one)
    except Unseen as error:
        conf = str(error)
    try:
        written: tuple[str, str] | str = f"the log of {one.name}", project.log("coturn")
    except Unseen as error:
        written = str(error)
    version, source = _version(host, conf, written)
    yield Look("containers", f"{one.name} {one.state}", tuple(containers.judge_state(one)))
    yield _guarded("configuration", lambda: _configuration(host, _known(conf), version))
    yield _guarded("certificates", lambda: _certificates(host.deployment, _known(conf)))
    yield _guarded("log", lambda: _log(written))
    yield _guarded("version", lambda: _judge_version(version, source, conf))
    yield _guarded("ports", lambda: _ports(host.deployment, _known(conf)))
    yield _guarded("listeners", lambda: listeners.look(_own(host, conf)))
    yield _guarded("addresses", lambda: addresses.look(_own(host, conf), host.ask))
    yield _guarded("firewall", lambda: nftables.look(_own(host, conf)))


def _container_conf(project: Project, one: Container) -> Conf:
    """The file that the command line names, else the first default one there is, and the command
    line, which counts more."""
    told = commandline.parse_words(one.command)
    for path in () if told.no_file else (told.file,) if told.file else commandline.DEFAULT_FILES:
        file = project.file("coturn", path)
        if file is not None:
            place = f"{one.name}:{path}"
            return commandline.with_command_line(
                parse(place, text_of(place, file.content)), place, told.lines
            )
        if told.file:
            raise Unseen(f"{one.name}:{path}: there is no such file")
    return commandline.with_command_line(None, one.name, told.lines)


def hinders(who: coturnuser.Reader | str | None) -> Callable[[str, secrets.File], str | None]:
    """What keeps the user from a file of this host's."""
    return lambda path, _: (
        coturnuser.hindrance(path, who) if isinstance(who, coturnuser.Reader) else None
    )


def _guarded(name: str, make: Callable[[], Look]) -> Look:
    try:
        return make()
    except Unseen as error:
        return Look(name, unknown=(str(error),))


def _known(conf: Conf | str) -> Conf:
    if isinstance(conf, str):
        raise Unseen(conf)
    return conf


def _conf(deployment: Deployment) -> Conf:
    place = deployment.place(TURNSERVER)
    file = deployment.file(TURNSERVER)
    if file is None:
        raise Unseen(f"{place}: there is no such file")
    return parse(place, text_of(place, file.content))


def text_of(place: str, content: bytes) -> str:
    """coturn reads bytes: what is no UTF-8 is shown by its numbers."""
    if b"\0" in content:
        raise Unseen(f"{place} is not text: it has null bytes, as UTF-16 has; save it as UTF-8")
    return content.decode(errors="backslashreplace")


def _own(host: Host, conf: Conf | str) -> Conf:
    """The configuration of a coturn that uses this host's own addresses and ports."""
    container = host.deployment.coturn
    if container is not None and not container.host_network:
        raise Unseen("coturn is behind Docker's bridge, with addresses and ports of its own")
    return _known(conf)


def _version(
    host: Host, conf: Conf | str, written: tuple[str, str] | str
) -> tuple[Version | None, str]:
    """The version that runs, or will: the log knows best."""
    if isinstance(written, tuple) and (version := version_in(written[1])):
        return version, "its log"
    container = host.deployment.coturn
    if container is not None and (version := version_of_image(container.image)):
        return version, f"the image {container.image}"
    if isinstance(conf, Conf) and conf.made_for is not None:
        return conf.made_for, conf.place
    if isinstance(host.deployment, InDirectory) and (version := host.installed()):
        return version, "turnserver --version"
    return None, ""


def _containers(project: Project | str) -> Look:
    if isinstance(project, str):
        return Look("containers", unknown=(project,))
    told = ", ".join(f"{one.service} {one.state}" for one in project.containers)
    return Look("containers", told or "none", tuple(containers.judge_states(project.containers)))


def _configuration(host: Host, conf: Conf, version: Version | None) -> Look:
    findings = [*optionrules.judge(conf, version)]
    if version and conf.made_for and version != conf.made_for:
        text = f"made for coturn {conf.made_for}, and {version} runs"
        findings.append(
            found(
                "configuration-for-other-version",
                Severity.WARN,
                conf.place,
                text,
                version=str(version),
            )
        )
    unknown = () if version else ("which options coturn knows: its version is not known",)
    return Look("configuration", told(conf, version), tuple(findings), unknown)


def told(conf: Conf, version: Version | None) -> str:
    of = f", coturn {version}" if version else ""
    return f"{conf.place}: {len(conf.lines)} options{of}"


def _certificates(deployment: Deployment, conf: Conf) -> Look:
    if not certificates.wanted(conf):
        return Look("certificates", "coturn has none: TLS ends elsewhere, or there is none")
    container = deployment.coturn
    if container is None:
        return certificates.look(
            conf, deployment.file, hinders(coturnuser.reader(conf, Path(conf.place)))
        )
    return certificates.look(
        conf, deployment.file, lambda _, file: _container_hinders(container.user, file)
    )


def _container_hinders(user: int | None, file: secrets.File) -> str | None:
    """By its mode alone: which groups the container's user has is not known."""
    if user in {None, 0}:
        return None
    if file.mode & (0o400 if file.owner == user else 0o044):
        return None
    mode, owner = f"{file.mode:04o}", file.owner
    return f"user {user} of the container may not read it (mode {mode}, owner {owner})"


def _secrets(deployment: Deployment, conf: Conf) -> Look:
    findings: list[Finding] = []
    unknown: list[str] = []
    seen = []
    for name in secrets.NAMES:
        place = deployment.place(name)
        try:
            file = deployment.file(name)
        except Unseen as error:
            unknown.append(str(error))
            continue
        if file is None:
            text = "there is no such file"
            findings.append(found("secret-file-missing", Severity.FAIL, place, text))
            continue
        seen.append(name)
        taken = secrets.secret_file(place, file)
        findings += secrets.judge_file(taken, deployment.owner)
        if name == "turn-secret":
            try:
                stored = _stored(deployment, conf)
            except Unseen as error:
                unknown.append(str(error))
            else:
                findings += secrets.judge_match(taken, conf, stored)
    for path in (TURNSERVER, *conf.values("userdb")[-1:]):
        file = deployment.file(path)
        if file is None:
            continue
        seen.append(path.rpartition("/")[2])
        if path != TURNSERVER or conf.values("static-auth-secret"):
            findings += secrets.judge_mode(deployment.place(path), file.mode)
    return Look("secrets", ", ".join(seen), tuple(findings), tuple(unknown))


def _stored(deployment: Deployment, conf: Conf) -> tuple[Secret, ...]:
    paths = conf.values("userdb")
    file = deployment.file(paths[-1]) if paths else None
    if file is None or not file.content:
        return ()
    log = deployment.file(f"{paths[-1]}-wal")
    realm = (conf.values("realm") or ("",))[-1]
    return secrets.stored(file.content, log.content if log else b"", realm)


def _log(written: tuple[str, str] | str) -> Look:
    if isinstance(written, str):
        raise Unseen(written)
    place, text = written
    return Look("log", f"{place}: {len(text.splitlines())} lines", tuple(log.judge(place, text)))


def _judge_version(version: Version | None, source: str, conf: Conf | str) -> Look:
    if version is None:
        raise Unseen("coturn's version: neither its log nor an image nor a file tells it")
    findings = []
    if holes(version):
        reached = isinstance(conf, Conf) and any(map(_public, _addresses(conf)))
        # A hole matters where strangers come; a relay that cannot answer is of use to nobody.
        severity = Severity.FAIL if reached or is_broken(version) else Severity.WARN
        findings.append(vulnerable(f"coturn {version}", version, severity))
    return Look("version", f"coturn {version} by {source}", tuple(findings))


def _addresses(conf: Conf) -> Iterator[str]:
    """Where the configuration lets others reach it; none of them is every address of the host."""
    for option in ("external-ip", "listening-ip", "relay-ip"):
        yield from (value.partition("/")[0] for value in conf.values(option))


def _public(address: str) -> bool:
    try:
        return is_public(address)
    except ValueError:
        return False


def _ports(deployment: Deployment, conf: Conf) -> Look:
    container = deployment.coturn
    if container is None:
        raise Unseen("published ports: coturn is in no container")
    told = "host networking: nothing has to be published"
    if not container.host_network:
        told = f"{len(container.published)} ports published through Docker's bridge"
    return Look("ports", told, tuple(containers.judge_ports(container, conf)))
