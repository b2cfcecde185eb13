"""The look at a compose file on its own: the ports that it publishes, whether coturn uses those,
and which version of coturn it runs.

Files that compose would extend or merge aren't looked at.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from posixpath import normpath
from typing import Any

import yaml

from turnctl.coturn import commandline
from turnctl.coturn.commandline import Command
from turnctl.coturn.parsing import Conf, Line, parse
from turnctl.coturn.versions import Version, holes, is_broken, version_of_image
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import optionrules, ports
from turnctl.doctor.catalogue import found
from turnctl.doctor.containerdata import Container, Published
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.ports import MOST_PORTS
from turnctl.doctor.version import vulnerable

__all__ = ["look"]

VARIABLE = re.compile(r"\$\{\w+:?-([^}]*)\}")
"""A variable with a default, which counts."""
ELSEWHERE = "set:in-the-environment-0123456789abcdef"
"""Replaces a value that is a variable without a default."""
PLACES = {
    "listening-port", "tls-listening-port", "min-port", "max-port", "listening-ip", "relay-ip",
    "external-ip", "denied-peer-ip", "allowed-peer-ip",
}  # fmt: skip
"""Options that can't be judged while their value is a variable."""
PUBLISHED = re.compile(
    r"(?:(?P<host>\[[^\]]+\]|\d+(?:\.\d+){3}|localhost):)?(?:(?P<published>\d+(?:-\d+)?):)?"
    r"(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?"
)
SPAN = re.compile(r"(\d+)(?:-(\d+))?")


class _Loader(yaml.CSafeLoader):
    """Ignores compose's own tags, !reset and !override."""


def _untagged(loader: _Loader, _: str, node: yaml.Node) -> Any:
    match node:
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            return loader.construct_mapping(node, deep=True)
    return None


_Loader.add_multi_constructor("!", _untagged)


def look(
    place: str,
    text: str,
    read: Callable[[str], str | None] = lambda _: None,
    version: Version | None = None,
) -> Look:
    """`read` returns the text of a file beside the compose file, or None. Raises Unseen if this
    isn't a compose file."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  it is a safe loader
    except yaml.YAMLError as error:
        raise Unseen(f"{place}: {' '.join(str(error).split())}") from error
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise Unseen(f"{place}: it has no services, so it isn't a compose file")
    judged = _Judged(place, read, version)
    for name, service in services.items():
        if isinstance(service, dict):
            judged.service(str(name), service)
    return Look(
        "ports", f"{place}: {len(services)} services", tuple(judged.findings), tuple(judged.unknown)
    )


@dataclass(slots=True)
class _Judged:
    """What is found, service by service."""

    place: str
    read: Callable[[str], str | None]
    version: Version | None
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def service(self, name: str, service: dict[str, Any]) -> None:
        where = f"{self.place}: {name}"
        listed = service.get("ports")
        entries = listed if isinstance(listed, list) else []
        count = sum(map(_published, entries))
        if count > MOST_PORTS:
            summary = f"publishes {count} relay ports through Docker's bridge"
            self.findings.append(
                found("ports-published-many", Severity.FAIL, where, summary, published=count)
            )
        words = [
            VARIABLE.sub(r"\1", word)
            for key in ("entrypoint", "command")
            for word in commandline.split_words(service.get(key))
        ]
        image = _settled_text(str(service.get("image") or ""))
        if commandline.is_coturn(image, words):
            self.findings += _judge_image(where, image)
            self._coturn(where, service, image, commandline.parse_words(words), entries)

    def _coturn(
        self, where: str, service: dict[str, Any], image: str, command: Command, entries: list[Any]
    ) -> None:
        conf = self._conf(where, service, command)
        if conf is None:
            return
        known = [line for line in conf.lines if "$" not in line.value or line.option not in PLACES]
        unset = sorted({line.option for line in conf.lines} - {line.option for line in known})
        if unset:
            self.unknown.append(
                f"{where}: {', '.join(unset)}: a variable without a default sets it"
            )
        judged = Conf(conf.place, tuple(map(_settled, known)), conf.made_for)
        if known:
            self.findings += optionrules.judge(judged, self.version or version_of_image(image))
        network = str(service.get("network_mode") or "")
        if network == "host":
            return
        if network.startswith(("service:", "container:")):
            self.unknown.append(f"{where}: {network} publishes its ports")
            return
        if any(option.endswith("-port") for option in unset):
            return
        published: list[Published] = []
        for entry in entries:
            some = _mapping(entry)
            if some is None:
                self.unknown.append(f"{where}: the published ports {entry!r:.60}")
                return
            published += some
        container = Container(
            where, where, image, "unknown", host_network=False, published=(*published,)
        )
        self.findings += [
            one for one in ports.judge(container, judged) if one.code != "ports-published-many"
        ]

    def _conf(self, where: str, service: dict[str, Any], command: Command) -> Conf | None:
        """The configuration of a service; None if it can't be seen here."""
        if command.no_file:
            return commandline.with_command_line(None, where, command.lines)
        wanted = (command.file,) if command.file else commandline.DEFAULT_FILES
        for source, target in _mounts(service.get("volumes")):
            inside = [path for path in wanted if path == target or path.startswith(f"{target}/")]
            if not inside:
                continue
            path = f"{source}{inside[0].removeprefix(target)}"
            text = self.read(path) if path.startswith((".", "/")) and "$" not in path else None
            if text is None:
                self.unknown.append(f"{where}: its ports are in {path}, which isn't here")
                return None
            return commandline.with_command_line(parse(normpath(path), text), where, command.lines)
        if command.file is not None:
            self.unknown.append(f"{where}: its ports are in {command.file}, which isn't here")
            return None
        return commandline.with_command_line(None, where, command.lines)


def _settled(line: Line) -> Line:
    return dataclasses.replace(line, value=ELSEWHERE, raw="=") if "$" in line.value else line


def _settled_text(text: str) -> str:
    """With each variable replaced by its default, which may be a variable with a default itself."""
    while (plain := VARIABLE.sub(r"\1", text)) != text:
        text = plain
    return text


def _judge_image(where: str, image: str) -> Iterator[Finding]:
    """A tag that names a coturn with known holes. Where it will listen isn't known."""
    if not image.partition("@")[0].rpartition("/")[2].startswith("coturn"):
        return  # another program's version
    version = version_of_image(image)
    if version and holes(version):
        severity = Severity.FAIL if is_broken(version) else Severity.WARN
        yield vulnerable(where, version, severity)


def _mounts(listed: object) -> Iterator[tuple[str, str]]:
    """Source and target of each mount."""
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            yield str(entry.get("source") or ""), str(entry.get("target") or "").rstrip("/")
        else:
            source, _, rest = VARIABLE.sub(r"\1", str(entry)).partition(":")
            yield source, rest.partition(":")[0].rstrip("/")


def _mapping(entry: object) -> list[Published] | None:
    """A port or a range as it's published; None if that can't be known. A container's port alone
    gets a number on the host that isn't known in advance."""
    if isinstance(entry, dict):
        host, protocol = str(entry.get("host_ip") or ""), str(entry.get("protocol") or "tcp")
        target, published = str(entry.get("target") or ""), str(entry.get("published") or "")
    else:
        match = PUBLISHED.fullmatch(VARIABLE.sub(r"\1", str(entry)).strip())
        if match is None:
            return None
        host, protocol = (match["host"] or "").strip("[]"), match["protocol"] or "tcp"
        target, published = match["target"], match["published"] or ""
    inner, outer = _span(VARIABLE.sub(r"\1", target)), _span(VARIABLE.sub(r"\1", published))
    if inner is None or (published and outer is None):
        return None
    return [
        Published(port, protocol, host or "0.0.0.0", at)  # noqa: S104  Docker's own default
        for port, at in zip(inner, outer or (), strict=False)
    ]


def _span(text: str) -> range | None:
    span = SPAN.fullmatch(text)
    return range(int(span[1]), int(span[2] or span[1]) + 1) if span else None


def _published(entry: object) -> int:
    """How many of the host's ports a range has: [[HOST:]PUBLISHED:]TARGET[/PROTOCOL], or the form
    with names. A single port is for listening, not for relaying."""
    if isinstance(entry, dict):
        text = str(entry.get("published") or entry.get("target") or "")
    else:
        plain = VARIABLE.sub(r"\1", str(entry)).partition("/")[0]
        text = plain.rpartition(":")[0].rpartition(":")[2] or plain
    span = SPAN.fullmatch(VARIABLE.sub(r"\1", text))
    return int(span[2]) - int(span[1]) + 1 if span and span[2] else 0
