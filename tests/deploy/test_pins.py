"""What compose.yaml pins is what the suite runs, and what it could not run is named as untested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import yaml

from tests.lab import docker
from tests.lab.docker import PARTS, ROOT

PAGE = ROOT / "docs" / "deploy.md"
TESTED = re.compile(r"^\| `([^`:]+):([^`]+)` \| (\d[\d.]*)(?=[ ,|])", re.MULTILINE)
UNTESTED = re.compile(r"^- `([^`:]+):([^`]+)`: the suite ran (\d[\d.]*|none)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Ran:
    """`image` is what the suite runs in place of the pinned one, or that itself; `version` is what
    the program in it says. Both are None where it runs nothing."""

    image: str | None
    version: str | None


@pytest.fixture(scope="module")
def ran() -> Mapping[str, Ran]:
    """Repository → what was run of it."""
    made = {}
    for repository in docker.pinned():
        if (part := PARTS.get(repository)) is None:
            made[repository] = Ran(None, None)
        else:
            image = docker.image(repository)
            made[repository] = Ran(image, docker.version_in(image, part))
    return made


def names(tag: str, version: str) -> bool:
    """Whether a tag names this version or its line, as 4.18.0-r0, v4.35.2 and 3.12-slim do."""
    (said,) = re.findall(r"^v?(\d+(?:\.\d+)*)(?:-|$)", tag)
    return version == said or version.startswith(f"{said}.")


def section() -> str:
    """Of the page, that about versions."""
    return PAGE.read_text().partition("\n## What was tested\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("tag", "version", "expected"),
    [
        ("4.18.0-r0", "4.18.0", True),
        ("4.17.0-r0", "4.18.0", False),
        ("v4.35.2", "4.35.2", True),
        ("v4.35.2", "4.35.20", False),
        ("3.12-slim-bookworm", "3.12.4", True),
        ("3.12-slim-bookworm", "3.11.2", False),
        ("3.1", "3.12.4", False),
    ],
)
def test_what_a_tag_names(tag: str, version: str, expected: bool) -> None:
    """Every number of it counts, and no more than those."""
    assert expected is names(tag, version)


def test_an_image_has_one_tag_everywhere() -> None:
    """compose.yaml, the Dockerfile and .env.example pin the same; nothing goes without a tag."""
    found: dict[str, set[str]] = {}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    example = (ROOT / ".env.example").read_text()
    listed = [
        *re.findall(r"^ARG \w+_IMAGE=(\S+)$", dockerfile, re.MULTILINE),
        *re.findall(r"^#\w+_IMAGE=(\S+)$", example, re.MULTILINE),
        *re.findall(r"_IMAGE:-([^{}$]+)\}", (ROOT / "compose.yaml").read_text()),
    ]
    for name in listed:
        repository, _, tag = name.rpartition(":")
        found.setdefault(repository, set()).add(tag)
    assert all(len(tags) == 1 for tags in found.values()), found
    ours = {"signalpost": "latest", "signalpost-acme": "latest"}
    assert docker.pinned() | ours == {name: tag for name, (tag,) in found.items()}


def test_every_image_of_compose_is_pinned() -> None:
    """A service with an image that no variable replaces would be held against nothing."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    pins = {f"{name}:{tag}" for name, tag in docker.pinned().items()}
    for service in services.values():
        (name,) = re.findall(r"\$\{\w+_IMAGE:-([^{}$]+)\}+$", service["image"])
        assert name in pins or name.startswith("signalpost"), name


def test_no_image_has_another_versions_tag(ran: Mapping[str, Ran]) -> None:
    """What is run is named by the version that its program says."""
    for repository, one in ran.items():
        if one.image is not None and one.version is not None:
            assert names(one.image.rpartition(":")[2], one.version), (repository, one)


def test_the_page_says_what_was_tested(ran: Mapping[str, Ran]) -> None:
    """docs/deploy.md lists each pinned image once: as tested if its version ran here, else as
    untested, with what ran in its place."""
    pins = docker.pinned()
    # Where a registry answers, the pinned image itself runs: there is nothing to be held against.
    pulled = {name for name, one in ran.items() if one.image == f"{name}:{pins[name]}"}
    truth = {
        (name, tag, ran[name].version or "none", names(tag, ran[name].version or "0"))
        for name, tag in pins.items()
    }
    said = {
        *((*row, True) for row in TESTED.findall(section())),
        *((*row, False) for row in UNTESTED.findall(section())),
    }
    assert pins == {name: tag for name, tag, _, _ in said}
    assert len(pins) == len(said)
    assert {row for row in truth if row[0] not in pulled} == {
        row for row in said if row[0] not in pulled
    }
