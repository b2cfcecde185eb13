"""One file on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.coturn.rendering import Configuration, render
from turnctl.coturn.versions import Version
from turnctl.doctor.lint import lint
from turnctl.doctor.look import Look, Unseen

OLD, NEW = Version(4, 6, 1), Version(4, 18, 0)
TEXT = render(Configuration(NEW, "r", ("198.51.100.7",), "/d"))
BARE = TEXT.replace("# For coturn 4.18.0.\n", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "turnserver.conf"


def first(path: Path, named: Version | None = None, installed: Version | None = None) -> Look:
    """The look at the configuration."""
    return lint(path, named, lambda: installed)[0]


@pytest.mark.parametrize(
    ("text", "named", "installed", "version"),
    [
        (TEXT, OLD, OLD, "coturn 4.6.1"),
        (TEXT, None, OLD, "coturn 4.18.0"),
        (BARE, None, OLD, "coturn 4.6.1"),
        (BARE, None, None, "coturn 4.18.0 (the newest, since no version is named)"),
    ],
)
def test_the_version(
    path: Path, text: str, named: Version | None, installed: Version | None, version: str
) -> None:
    """The named one, else the header's, else the installed one, else the newest."""
    path.write_text(text)
    assert (first(path, named, installed).seen or "").endswith(f" options, {version}")


def test_a_dropped_option_fails(path: Path) -> None:
    """coturn ignores it, but the author expects it to work."""
    path.write_text(f"{TEXT}no-tlsv1\n")
    (one,) = first(path).findings
    assert ("option-dropped", "fail") == (one.code, one.severity)


def test_another_hosts_file(path: Path) -> None:
    """Its addresses and certificates are unknown, unless coturn is installed here."""
    path.write_text(f"{TEXT.replace('no-tls', '')}cert=/none/c\npkey=/none/k\n")
    looks = {look.name: look for look in lint(path, None, lambda: None)}
    assert ("skipped", "skipped") == (looks["addresses"].verdict, looks["certificates"].verdict)
    looks = {look.name: look for look in lint(path, None, lambda: NEW)}
    assert ("warn", "fail") == (looks["addresses"].verdict, looks["certificates"].verdict)


def test_no_file(path: Path) -> None:
    """A missing file or a directory can't be judged."""
    with pytest.raises(Unseen, match="there is no such file"):
        lint(path, None, lambda: None)
    with pytest.raises(Unseen, match="isn't a regular file"):
        lint(path.parent, None, lambda: None)


def test_a_compose_file(tmp_path: Path) -> None:
    """It is recognized by its suffix, and may mount files beside it."""
    (tmp_path / "turn.conf").write_text("realm=r\nno-auth\n")
    path = tmp_path / "compose.yaml"
    path.write_text(
        "services:\n  coturn:\n    image: coturn/coturn:4.18.0\n    network_mode: host\n"
        "    volumes: ['./turn.conf:/etc/coturn/turnserver.conf']\n"
    )
    (look,) = lint(path, None, lambda: None)
    assert "open-relay" in [one.code for one in look.findings]
