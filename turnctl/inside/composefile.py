"""A compose file by itself: which ports Docker publishes through the bridge, and which coturn runs.

Pure: text in, findings out. What `docker compose config` would put in from elsewhere, extended and
merged files, is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from turnctl.deployment.coturn import holes, is_broken, version_of_image
from turnctl.findings import Finding, Severity
from turnctl.inside import Look, Unseen
from turnctl.inside.catalogue import found
from turnctl.inside.containers import MOST_PORTS
from turnctl.inside.version import vulnerable

__all__ = ["look"]

VARIABLE = re.compile(r"\$\{\w+:?-([^}]*)\}")
"""With a default, which counts."""
SPAN = re.compile(r"(\d+)(?:-(\d+))?")


class _Loader(yaml.CSafeLoader):
    """compose's own tags, !reset and !override, are read as what they stand before."""


def _untagged(loader: _Loader, _: str, node: yaml.Node) -> Any:
    match node:
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            return loader.construct_mapping(node, deep=True)
    return None


_Loader.add_multi_constructor("!", _untagged)


def look(place: str, text: str) -> Look:
    """Raises Unseen when it is no compose file."""
    try:
        document = yaml.load(text, _Loader)  # noqa: S506  it is a safe loader
    except yaml.YAMLError as error:
        raise Unseen(f"{place}: {' '.join(str(error).split())}") from error
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict):
        raise Unseen(f"{place}: has no services, so it is no compose file")
    findings = (*_judge(place, services), *_judge_images(place, services))
    return Look("ports", f"{place}: {len(services)} services", findings)


def _judge(place: str, services: dict[str, Any]) -> Iterator[Finding]:
    for name, service in services.items():
        listed = service.get("ports") if isinstance(service, dict) else None
        count = sum(map(_published, listed if isinstance(listed, list) else ()))
        if count > MOST_PORTS:
            summary = f"has Docker publish {count} relay ports through the bridge"
            yield found(
                "ports-published-many",
                Severity.FAIL,
                f"{place}: {name}",
                summary,
                published=count,
            )


def _judge_images(place: str, services: dict[str, Any]) -> Iterator[Finding]:
    """A coturn whose tag names a version with known holes; where it will listen is not seen."""
    for name, service in services.items():
        image = service.get("image") if isinstance(service, dict) else None
        text, plain = "", image if isinstance(image, str) else ""
        while text != plain:  # a default may have a default of its own
            text, plain = plain, VARIABLE.sub(r"\1", plain)
        if not text.partition("@")[0].rpartition("/")[2].startswith("coturn"):
            continue
        version = version_of_image(text)
        if version and holes(version):
            severity = Severity.FAIL if is_broken(version) else Severity.WARN
            yield vulnerable(f"{place}: {name}", version, severity)


def _published(entry: object) -> int:
    """How many of the host's ports a range takes: [[HOST:]PUBLISHED:]TARGET[/PROTOCOL], or the form
    with names. A single port is a listener's, and none of a relay's."""
    if isinstance(entry, dict):
        text = str(entry.get("published") or entry.get("target") or "")
    else:
        plain = VARIABLE.sub(r"\1", str(entry)).partition("/")[0]
        text = plain.rpartition(":")[0].rpartition(":")[2] or plain
    span = SPAN.fullmatch(VARIABLE.sub(r"\1", text))
    return int(span[2]) - int(span[1]) + 1 if span and span[2] else 0
