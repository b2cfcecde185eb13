"""action.yml: the GitHub Action names what exists, and its script does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from tests.lab import coturn
from turnctl.commands.check import check

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
(CHECK,) = [step for step in STEPS if step.get("id") == "check"]


def test_it_is_a_composite_action() -> None:
    """With what GitHub requires; actions of others are pinned to a version."""
    assert "composite" == ACTION["runs"]["using"]
    assert ACTION["name"]
    assert ACTION["description"]
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert ["actions/setup-python", "actions/upload-artifact"] == [
        one.partition("@")[0] for one in used
    ]
    assert [one for one in used if not re.search(r"@v\d+\.\d+\.\d+$", one)] == []
    assert [step for step in STEPS if "run" in step and step.get("shell") != "bash"] == []


def test_every_input_is_used_and_described() -> None:
    """Nothing is asked for that has no effect, nothing is used that cannot be given."""
    used = set(re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
    assert [name for name, one in ACTION["inputs"].items() if not one.get("description")] == []


def test_its_options_are_those_of_check() -> None:
    """Each option in the script is one of `turnctl check`."""
    used = set(re.findall(r"(--[a-z][a-z-]+)", CHECK["run"]))
    there = {name for option in check.params for name in option.opts}
    assert {"--format", "--output", "--api-key-file", "--secret-file"} <= used
    assert used <= there


def test_no_input_is_written_into_a_script() -> None:
    """An expression in a script would run as code; inputs arrive as environment."""
    assert [step["name"] for step in STEPS if "${{" in step.get("run", "")] == []


class Job:
    """A runner's environment for the check step."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "report.xml"
        self.output = folder / "output"
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        programs = folder / "turnctl" / "bin"
        programs.mkdir(parents=True)
        (programs / "turnctl").symlink_to(Path(sys.executable).with_name("turnctl"))
        given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        self.environment = {
            "PATH": os.environ["PATH"],
            "RUNNER_TEMP": str(folder),
            "GITHUB_OUTPUT": str(self.output),
            "TMPDIR": str(self.scratch),
            **{
                name: given[re.findall(r"inputs\.([a-z-]+)", value)[0]]
                for name, value in CHECK["env"].items()
            },
            "REPORT": str(self.report),
        }

    def run(self, **inputs: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", CHECK["run"]],
            env=self.environment | inputs,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def leftovers(self) -> list[str]:
        return [str(path) for path in self.scratch.rglob("*")]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture(scope="module")
def server(own_address: str) -> Iterator[coturn.Server]:
    with coturn.running(own_address) as running:
        yield running


def test_a_healthy_server_passes(server: coturn.Server, job: Job) -> None:
    """Two targets on two lines, the secret from the environment: a report, and no key left over."""
    targets = f"{server.uri('udp')}\n{server.uri('tcp')}\n"
    done = job.run(TARGETS=targets, SECRET=server.secret, RELAY_ONLY="true", FAMILY="4")
    assert 0 == done.returncode, done.stderr
    suite = ET.parse(job.report).getroot()  # noqa: S314  our own
    assert ("2", "0") == (suite.get("tests"), suite.get("failures"))
    assert "status=0\n" == job.output.read_text()
    assert [] == job.leftovers()
    assert server.secret not in done.stdout + done.stderr


def test_a_failing_server_fails_the_step_with_a_report(server: coturn.Server, job: Job) -> None:
    """The status is the check's, and the report is there to be uploaded."""
    done = job.run(TARGETS=server.uri("udp"), SECRET="another", FAMILY="4")
    assert 1 == done.returncode
    assert "status=1\n" == job.output.read_text()
    assert "secret-mismatch" in job.report.read_text()
    assert [] == job.leftovers()


def test_hostile_inputs_are_arguments(job: Job, tmp_path: Path) -> None:
    """What looks like code or an option is a target that cannot be used: exit status 2."""
    for targets in (
        f"$(touch {tmp_path}/run)",
        f"; touch {tmp_path}/run",
        "--output=/x",
        "nix://x",
    ):
        done = job.run(TARGETS=targets)
        assert 2 == done.returncode, done.stderr
        assert not (tmp_path / "run").exists()
        assert not job.report.exists()
