"""What the looks are given: configuration, log and version, each with its best source."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.coturn.versions import Version
from turnctl.doctor.look import Unseen
from turnctl.doctor.storage import DirectoryStorage
from turnctl.doctor.subject import Subject, of_host
from turnctl.doctor.version import KnownVersion

LOG, HEAD, PROGRAM = Version(4, 18, 0), Version(4, 16, 0), Version(4, 6, 1)


def subject(directory: Path, *, installed: Version | None = None) -> Subject:
    return of_host(
        DirectoryStorage(directory), Unseen("no engine"), lambda: "not asked", lambda: installed
    )


def test_an_empty_directory(tmp_path: Path) -> None:
    """Each missing thing is an Unseen with its reason."""
    empty = subject(tmp_path)
    for value in (empty.conf, empty.log, empty.version, empty.host_conf):
        assert isinstance(value, Unseen)
    assert f"{tmp_path}/coturn/turnserver.conf: there is no such file" == str(empty.conf)


@pytest.mark.parametrize(
    ("log", "head", "expected"),
    [
        (f"Version Coturn-{LOG} 'Gorst'\n", f"# For coturn {HEAD}.\n", LOG),
        ("nothing\n", f"# For coturn {HEAD}.\n", HEAD),
        ("nothing\n", "", PROGRAM),
        (None, "", PROGRAM),
    ],
)
def test_the_version(tmp_path: Path, log: str | None, head: str, expected: Version) -> None:
    """From the log, else the file's header, else the installed program."""
    (tmp_path / "coturn").mkdir()
    (tmp_path / "coturn/turnserver.conf").write_text(f"{head}realm=r\n")
    if log is not None:
        (tmp_path / "coturn.log").write_text(log)
    version = subject(tmp_path, installed=PROGRAM).version
    assert isinstance(version, KnownVersion)
    assert expected == version.version


def test_the_configuration(tmp_path: Path) -> None:
    """It is parsed, and names its file; text in UTF-16 is an Unseen."""
    (tmp_path / "coturn").mkdir()
    path = tmp_path / "coturn/turnserver.conf"
    path.write_text("realm=r\n")
    conf = subject(tmp_path).conf
    assert not isinstance(conf, Unseen)
    assert (str(path), ("r",)) == (conf.place, conf.values("realm"))
    path.write_text("realm=r\n", encoding="utf-16")
    assert isinstance(subject(tmp_path).conf, Unseen)
