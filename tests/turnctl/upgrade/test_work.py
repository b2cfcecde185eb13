"""The steps that need no Docker, on the files that `turnctl init` makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from turnctl.commands.init import choices_from, init
from turnctl.upgrade.facts import Facts, Host, Note, Result
from turnctl.upgrade.moves import Step
from turnctl.upgrade.work import Work

NOTE = Note(image="sha256:new", version="4.99.0", was="coturn/coturn:old", was_version="4.18.0")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """A data directory with a relay beside, and the environment that compose.yaml gives."""
    monkeypatch.setenv("TURN_NEXT_PORT", "3479")
    monkeypatch.setenv("NO_STUN", "1")
    data = tmp_path / "data"
    argv = ["--dir", str(data), "--coturn-version", "4.18.0"]
    assert 0 == CliRunner().invoke(init, argv).exit_code
    return Work(
        data, tmp_path / ".env", 8080, 3479, tmp_path / "no-edge", choices_from=choices_from
    )


def facts(work: Work) -> Facts:
    seen = work.facts(Host({}, "sha256:new", Result()), "coturn/coturn:new", 60, Result())
    return replace(seen, note=NOTE)


def made_for(work: Work, relay: str) -> str:
    text = (work.directory / relay / "turnserver.conf").read_text()
    return next(line for line in text.splitlines() if line.startswith("# For coturn"))


def test_only_the_relay_beside_is_made_for_the_new_version(work: Work) -> None:
    """The old one may start anew at any time, with what it knows."""
    assert Result("install") == work.do(Step("install", ("coturn-next",)), facts(work))
    assert "# For coturn 4.18.0." == made_for(work, "coturn")
    assert "# For coturn 4.99.0." == made_for(work, "coturn-next")
    assert "coturn" == facts(work).handed_out


def test_the_old_version_returns(work: Work) -> None:
    """With the files of its own."""
    work.do(Step("install", ("coturn", "coturn-next")), facts(work))
    assert "# For coturn 4.99.0." == made_for(work, "coturn")
    work.do(Step("install", ("was", "coturn", "coturn-next")), facts(work))
    assert "# For coturn 4.18.0." == made_for(work, "coturn")


def test_what_is_handed_out_is_seen(work: Work) -> None:
    """By the service's own file, whoever wrote it."""
    argv = ["--dir", str(work.directory), "--coturn-version", "4.18.0", "--relay", "coturn-next"]
    assert 0 == CliRunner().invoke(init, argv).exit_code
    assert "coturn-next" == facts(work).handed_out


@pytest.mark.parametrize("text", ["", "turn: [", "turn: {relays: [1]}", "turn: {}"])
def test_settings_that_cannot_be_read_hand_out_the_usual_relay(work: Work, text: str) -> None:
    """Nobody was sent beside by them."""
    (work.directory / "signalpost.yaml").write_text(text)
    assert "coturn" == facts(work).handed_out


def test_the_image_is_recorded_and_taken_back(work: Work) -> None:
    """What else stands in .env stays."""
    work.env_file.write_text("# mine\nCOTURN_IMAGE=x\n")
    work.env_file.chmod(0o600)
    assert Result("record") == work.do(Step("record"), facts(work))
    text = "# mine\nCOTURN_IMAGE=coturn/coturn:new\nCOTURN_VERSION=4.99.0\n"
    assert (text, 0o600) == (work.env_file.read_text(), work.env_file.stat().st_mode & 0o777)
    work.do(Step("record", ("was",)), facts(work))
    assert "COTURN_IMAGE=coturn/coturn:old\nCOTURN_VERSION=4.18.0\n" in work.env_file.read_text()


def test_edited_settings_are_not_passed_over(work: Work) -> None:
    """Clients would stay where they are: it is said, and nothing else happens."""
    path = work.directory / "signalpost.yaml"
    path.write_text(path.read_text().replace("8080", "8081"))
    done = work.do(Step("hand-out", ("coturn-next",)), facts(work))
    assert 1 == done.status
    assert "was edited" in done.text


def test_a_relay_that_is_not_there_is_no_answer(work: Work) -> None:
    """Status 1: it may be about to start."""
    done = work.do(Step("prove", ("nowhere",)), facts(work))
    assert (1, "nowhere: no listener is configured") == (done.status, done.text)


def test_the_note_is_kept_and_removed(work: Work) -> None:
    """In the data directory, for its owner alone."""
    work.keep(NOTE)
    assert NOTE == work.note()
    assert 0o600 == (work.directory / "upgrade.json").stat().st_mode & 0o777
    work.keep(None)
    work.keep(None)
    assert Note() == work.note()
