"""The commands: mistakes in the settings, and the effective settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.signalpost.process import SIGNALPOST, run


def test_mistakes_are_lines_and_status_2(tmp_path: Path) -> None:
    """Configuration mistakes are one line each on stderr, status 2, no traceback."""
    path = tmp_path / "wrong.yaml"
    path.write_text("http: {prot: 1}\n")
    for command in ("serve", "config"):
        done = run(command, "--config", path)
        assert done.returncode == 2
        assert [line.startswith("signalpost: ") for line in done.stderr.splitlines()] == [True] * 3
        assert done.stdout == ""


def test_nothing_configured() -> None:
    """Without any configuration the message says how to get one."""
    done = run("serve")
    assert done.returncode == 2
    assert "turnctl init" in done.stderr


def test_the_settings_cannot_be_written(config: Path) -> None:
    """A standard output that takes nothing is one line and status 3."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [SIGNALPOST, "config", "--config", config],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=120,
        )
    assert (3, "signalpost: standard output: No space left on device\n") == (
        done.returncode,
        done.stderr,
    )


def test_turnctl_alone_is_installed(config: Path) -> None:
    """Without the extra that brings the service, serve says which it is, with status 3."""
    code = "import sys; sys.modules['uvloop'] = None; from signalpost.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--config", config],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = (
        "uvloop is not installed: the service needs the extra `server`, as in"
        " pip install '.[server]' in a checkout"
    )
    assert (3, f"signalpost: {said}\n") == (done.returncode, done.stderr)


def test_a_configuration_without_end() -> None:
    """A file that is far too large is refused before it fills the memory."""
    done = run("config", "--config", "/dev/zero")
    assert (
        2,
        "signalpost: /dev/zero: has more than 1048576 bytes, so it isn't a configuration file\n",
    ) == (
        done.returncode,
        done.stderr,
    )


def test_config_prints_what_holds(config: Path) -> None:
    """`signalpost config` prints the effective settings, the environment's included."""
    done = run("config", SIGNALPOST_CONFIG=str(config), SIGNALPOST_HTTP__PORT="9999")
    assert done.returncode == 0
    assert "port: 9999" in done.stdout
    assert "a-turn-secret" not in done.stdout
