""".env after `turnctl init --domain`: what was asked for, and everything else as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lab.docker import ROOT
from turnctl.deployment.dotenv import follow_domain, keep, put
from turnctl.host import files


def test_other_lines_stay() -> None:
    """Comments, order and other settings; a line that is set is set anew, once."""
    before = "# mine\nPORT=8081\nDOMAIN=old.example\n\nexport DOMAIN=older.example\nX='a b'\n"
    assert "# mine\nPORT=8081\nDOMAIN=new.example\n\nX='a b'\n" == put(
        before, {"DOMAIN": "new.example"}
    )


def test_a_line_that_is_commented_out_is_used() -> None:
    """A copy of .env.example keeps its explanations where they belong."""
    before = "# A name.\n#DOMAIN=turn.example.org\nPORT=1"
    assert "# A name.\nDOMAIN=new.example\nPORT=1\n" == put(before, {"DOMAIN": "new.example"})


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("", "COMPOSE_PROFILES=${DOMAIN:+tls}"),
        ("COMPOSE_PROFILES=", "COMPOSE_PROFILES=${DOMAIN:+tls}"),
        ("COMPOSE_PROFILES=observe", "COMPOSE_PROFILES=${DOMAIN:+tls,}observe"),
        ("COMPOSE_PROFILES=tls", "COMPOSE_PROFILES=tls"),
        ("COMPOSE_PROFILES=${DOMAIN:+tls,}observe", "COMPOSE_PROFILES=${DOMAIN:+tls,}observe"),
    ],
)
def test_the_profile_follows_the_domain(before: str, expected: str) -> None:
    """Other profiles stay on."""
    assert expected == follow_domain(before).strip()


def test_the_profile_stands_below_the_domain() -> None:
    """compose would expand ${DOMAIN:+tls} to nothing above the line that sets DOMAIN."""
    before = "COMPOSE_PROFILES=${DOMAIN:+tls,}observe\nPORT=1\n"
    wanted = "PORT=1\nDOMAIN=a.example\nCOMPOSE_PROFILES=${DOMAIN:+tls,}observe\n"
    assert wanted == follow_domain(put(before, {"DOMAIN": "a.example"}))


def test_a_file_is_made_and_changed(tmp_path: Path) -> None:
    """A new one is readable for compose; the mode of one that is there stays."""
    path = tmp_path / ".env"
    keep(path, {"DOMAIN": "a.example", "ACME_EMAIL": "you@a.example"})
    assert "DOMAIN=a.example\nACME_EMAIL=you@a.example\nCOMPOSE_PROFILES=${DOMAIN:+tls}\n" == (
        path.read_text()
    )
    path.chmod(0o600)
    keep(path, {"ACME_EMAIL": "me@a.example"})
    assert ("me@a.example" in path.read_text(), 0o600) == (True, path.stat().st_mode & 0o777)


def test_a_copy_of_the_example_keeps_its_words(tmp_path: Path) -> None:
    """Only the lines of the two values change."""
    path = tmp_path / ".env"
    shutil.copy(ROOT / ".env.example", path)
    before = path.read_text().splitlines()
    keep(path, {"DOMAIN": "a.example", "ACME_EMAIL": "you@a.example"})
    changed = {x for x in path.read_text().splitlines() if x not in before}
    assert {"DOMAIN=a.example", "ACME_EMAIL=you@a.example"} == changed


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder under its name, and a folder that is not there."""
    (tmp_path / ".env").mkdir()
    with pytest.raises(files.Unusable, match=r"\.env: Is a directory"):
        keep(tmp_path / ".env", {"DOMAIN": "a.example"})
    with pytest.raises(files.Unusable, match="absent: No such file"):
        keep(tmp_path / "absent" / ".env", {"DOMAIN": "a.example"})
