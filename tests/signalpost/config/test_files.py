"""SettingsFiles: which files the settings came from, and when one has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from signalpost.config.files import SettingsFiles, differences
from signalpost.config.loading import ConfigError, load
from signalpost.config.settings import Settings, Turn
from signalpost.credentials import Secret

CONFIG = """\
turn: {secrets_file: turn-secret}
auth: {id_key: an-id-key-0123456789}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    secret = tmp_path / "turn-secret"
    secret.write_text("a-turn-secret-0123456789\n")
    secret.chmod(0o600)
    path = tmp_path / "signalpost.yaml"
    path.write_text(CONFIG)
    return path


def _sources(config: Path, **environ: str) -> SettingsFiles:
    return SettingsFiles(lambda opening: load(config, environ, opening))


def test_nothing_has_changed(config: Path) -> None:
    """Files that nobody touched are as they were."""
    sources = _sources(config)
    sources.load()
    assert not sources.changed()


def _renamed_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_text(path.read_text())
    other.chmod(0o600)
    other.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("another-secret-9876543210\n"),
        lambda path: path.chmod(0o400),
        lambda path: path.unlink(),
        _renamed_over,
    ],
    ids=["edited", "other mode", "gone", "renamed over"],
)
@pytest.mark.parametrize("name", ["signalpost.yaml", "turn-secret"])
def test_a_change_is_seen(config: Path, name: str, change: Callable[[Path], object]) -> None:
    """Every change of a file that was read is noticed, once."""
    sources = _sources(config)
    sources.load()
    change(config.with_name(name))
    assert sources.changed()
    try:
        sources.load()
    except ConfigError:
        assert not config.with_name(name).exists() or name == "signalpost.yaml"
    assert not sources.changed()


def test_a_file_from_the_environment_is_followed(config: Path) -> None:
    """A secret file that only a variable names is followed too."""
    key = config.with_name("api-key")
    key.write_text("an-api-key-0123456789\n")
    key.chmod(0o600)
    sources = _sources(config, SIGNALPOST_AUTH__API_KEYS_FILE=str(key))
    sources.load()
    key.write_text("another-api-key-0123456789\n")
    assert sources.changed()


def test_a_file_that_was_missing_appears(config: Path) -> None:
    """After a reload that failed for want of a file, the file's appearance is a change."""
    sources = _sources(config)
    secret = config.with_name("turn-secret")
    content = secret.read_text()
    secret.unlink()
    with pytest.raises(ConfigError):
        sources.load()
    assert not sources.changed()
    secret.write_text(content)
    secret.chmod(0o600)
    assert sources.changed()


def test_a_change_while_it_is_read(config: Path) -> None:
    """A change between a look and the reading counts as a later change and is never lost."""

    def read(opening: Callable[[Path], object]) -> Settings:
        settings = load(config, {}, opening)
        config.write_text(CONFIG + "log: {level: debug}\n")
        return settings

    sources = SettingsFiles(read)
    sources.load()
    assert sources.changed()


def test_differences() -> None:
    """Settings that differ are named by key, in the table's order; secrets are compared."""
    before = Settings(turn=Turn(secrets=(Secret("a" * 16),)))
    assert differences(before, before) == []
    after = replace(
        before,
        turn=Turn(secrets=(Secret("b" * 16),), ttl=replace(before.turn.ttl, guest=60)),
        http=replace(before.http, port=1),
    )
    assert ["http.port", "turn.secrets", "turn.ttl.guest"] == differences(before, after)
