"""`turnctl doctor` as users run it: what it looks at, what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.lab import coturn
from tests.lab.docker import ROOT
from tests.lab.parts import require
from tests.lab.ports import free_port
from turnctl.commands.doctor import doctor
from turnctl.coturn.rendering import Configuration, render
from turnctl.coturn.versions import Version

LOOKS = [
    "containers", "configuration", "certificates", "secrets", "log", "version", "ports",
    "listeners", "addresses", "firewall", "buffers",
]  # fmt: skip


def turnctl(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Without a Docker engine, wherever one runs."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("turnctl")), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": "unix:///nonexistent.sock"},
    )


@pytest.fixture
def data(tmp_path: Path, own_address: str) -> Path:
    """What `turnctl init` writes for the installed coturn."""
    require("turnserver")
    directory = tmp_path / "data"
    done = turnctl(
        "init", "--dir", str(directory), "--no-stun", "--listen", own_address,
        "--port", str(free_port()), "--min-port", "50000", "--max-port", "50099",
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    return directory


def report(data: Path, *more: str) -> dict[str, Any]:
    done = turnctl("doctor", "--dir", str(data), "--no-stun", "--format", "json", *more)
    document: dict[str, Any] = json.loads(done.stdout)
    assert (1 if document["verdict"] == "fail" else 0) == done.returncode
    return document


def failing(document: dict[str, Any]) -> set[str]:
    return {one["code"] for one in document["findings"] if one["severity"] == "fail"}


def test_what_init_wrote_lacks_its_coturn_alone(data: Path) -> None:
    """Every look is made, in order, and only the listening process is missing."""
    document = report(data)
    assert "signalpost.doctor/1" == document["schema"]
    assert LOOKS == [look["name"] for look in document["looks"]]
    assert {"nothing-listens"} == failing(document)
    verdicts = {look["name"]: look["verdict"] for look in document["looks"]}
    assert ("pass", "pass") == (verdicts["configuration"], verdicts["secrets"])
    # No engine, no log and no STUN server: none of it counts as fine.
    assert {"skipped"} == {verdicts["containers"], verdicts["log"], verdicts["ports"]}
    assert "unknown" == verdicts["addresses"]
    members = {"code", "severity", "url", "summary", "evidence", "fix"}
    assert all(members == one.keys() for one in document["findings"])


def test_a_running_coturn_has_nothing_failing(data: Path, own_address: str) -> None:
    """Its log is in the data directory, and the STUN server that was named is asked."""
    lines = (data / "coturn" / "turnserver.conf").read_text()
    port = next(line.split("=")[1] for line in lines.splitlines() if "listening-port" in line)
    with coturn.running(own_address, port=int(port)) as server:
        (data / "coturn.log").write_text(server.log())
        stun = f"{own_address}:{port}"
        done = turnctl("doctor", "--dir", str(data), "--stun", stun)
    assert 0 == done.returncode, done.stdout
    assert f"{stun} sees {own_address}" in done.stdout
    assert "coturn 4.6.1 (from its log)" in done.stdout
    assert "\nWARN  version-vulnerable\n" in done.stdout


def test_what_is_broken_is_named(data: Path) -> None:
    """Secrets, configuration and log at once. No secret is shown."""
    secret = data / "turn-secret"
    canary = "canary-0123456789abcdef"
    secret.write_text(f'"{canary}"\n')
    (data / "api-key").chmod(0o644)
    (data / "id-key").unlink()
    conf = data / "coturn" / "turnserver.conf"
    conf.chmod(0o644)
    conf.write_text(conf.read_text() + f"no-auth\nstatic-auth-secret={canary} # {canary}\n")
    (data / "coturn.log").write_text("0: : Bad configuration format: no-such-option\n")
    document = report(data)
    assert failing(document) - {"nothing-listens"} == {
        "configuration-refused",
        "open-relay",
        "secret-file-missing",
        "secret-file-open",
        "secret-malformed",
        "secret-mismatch",
        "trailing-comment",
    }
    assert {str(data / "api-key"), str(conf)} == {
        one["url"] for one in document["findings"] if one["code"] == "secret-file-open"
    }
    assert "canary" not in json.dumps(document)


def test_another_version_runs(data: Path) -> None:
    """The version in the log counts more than the one in the file."""
    (data / "coturn.log").write_text("x INFO Coturn Version Coturn-4.18.0 'Gorst'\n")
    document = report(data)
    warned = {one["code"]: one for one in document["findings"] if one["severity"] == "warn"}
    assert "--coturn-version 4.18.0" in warned["configuration-for-other-version"]["fix"]
    assert "option-dropped" in warned
    assert "version-vulnerable" not in warned


@pytest.mark.parametrize(("version", "severity"), [("4.17.1", "fail"), ("4.17.2", "warn")])
def test_a_coturn_that_cannot_answer(data: Path, version: str, severity: str) -> None:
    """4.17.0 and 4.17.1 fail in a local network too, by the log or else by the file's header."""
    conf = data / "coturn" / "turnserver.conf"
    conf.write_text(conf.read_text().replace("# For coturn 4.6.1.", f"# For coturn {version}."))
    by_head = report(data)
    (data / "coturn.log").write_text(f"x INFO Coturn Version Coturn-{version} 'Gorst'\n")
    for document in (by_head, report(data)):
        [found] = [one for one in document["findings"] if one["code"] == "version-vulnerable"]
        assert (severity, f"coturn {version}") == (found["severity"], found["url"])
        assert (version == "4.17.1") is ("TTL of 1" in found["summary"])
        assert "4.18 or later" in found["fix"]
        assert found["evidence"]["knownAsOf"] in found["summary"]


def test_one_file_alone(data: Path, tmp_path: Path) -> None:
    """--config reads only this file."""
    conf = data / "coturn" / "turnserver.conf"
    done = turnctl("doctor", "--config", str(conf))
    assert 0 == done.returncode, done.stdout
    assert done.stdout.startswith(f"PASS     configuration  {conf}: ")
    bad = tmp_path / "bad.conf"
    bad.write_text(conf.read_text() + "denied-peer-ip=10.0.0.0/8\n")
    done = turnctl("doctor", "--config", str(bad))
    assert 1 == done.returncode
    assert "\nFAIL  denied-peer-cidr\n" in done.stdout
    assert "FAIL  looks: 1 pass, 1 fail" in done.stdout


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("no-tlsv1", "option-dropped"),
        ("no-such-option", "option-unknown"),
        ("pidfile=/d/pid # the pid", "trailing-comment"),
        ("denied-peer-ip=10.0.0.0/8", "denied-peer-cidr"),
        ("denied-peer-ip=::", "denied-peer-everything"),
        ("static-auth-secret='0123456789abcdef0123'", "secret-malformed"),
    ],
)
def test_the_lint_refuses(tmp_path: Path, line: str, code: str) -> None:
    """Lines that coturn 4.18 ignores, or reads differently than meant, give status 1."""
    configuration = Configuration(Version(4, 18, 0), "r", ("198.51.100.7",), "/d")
    path = tmp_path / "turnserver.conf"
    path.write_text(render(configuration) + line + "\n")
    text = CliRunner().invoke(doctor, ["--config", str(path)], standalone_mode=False)
    assert (1, True) == (text.return_value, f"\nFAIL  {code}\n" in text.output)
    as_json = CliRunner().invoke(
        doctor, ["--config", str(path), "--format", "json"], standalone_mode=False
    )
    findings = json.loads(as_json.output)["findings"]
    assert [code] == [one["code"] for one in findings if one["severity"] == "fail"]


def test_the_lint_knows_for_which_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without a header, where no turnserver is installed, is for the version that is named,
    else for the newest."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "turnserver.conf"
    text = render(Configuration(Version(4, 18, 0), "r", ("198.51.100.7",), "/d"))
    path.write_text(text.replace("# For coturn 4.18.0.\n", "") + "no-tlsv1\n")

    def lint(*more: str) -> tuple[int, str]:
        done = CliRunner().invoke(doctor, ["--config", str(path), *more], standalone_mode=False)
        return done.return_value, done.output

    status, said = lint()
    assert (1, True) == (status, "coturn 4.18.0 (the newest, since no version is named)\n" in said)
    assert "coturn 4.18.0 no longer has no-tlsv1" in said
    status, said = lint("--coturn-version", "4.6.1")
    assert (0, True) == (status, "options, coturn 4.6.1\n" in said), said


@pytest.mark.parametrize(
    ("ports", "status"),
    [
        (["49160-49259:49160-49259/udp"], 0),
        (["49160-49260:49160-49260/udp"], 1),
        (["127.0.0.1:1000-1100:1000-1100"], 1),
        (["${PORT:-3478}:3478/udp", 9090, "50-51:50-51", "${X:-1000-1099}:1000-1099"], 1),
        ([{"target": 5000, "published": "5000-5099", "protocol": "udp"}, "80:80"], 0),
        ([{"target": 5000, "published": "5000-5100", "protocol": "udp"}], 1),
        ([], 0),
    ],
)
def test_the_lint_counts_a_bridges_ports(tmp_path: Path, ports: list[object], status: int) -> None:
    """A service may publish up to a hundred, in whatever form they are written."""
    path = tmp_path / "compose.yaml"
    path.write_text(yaml.safe_dump({"services": {"coturn": {"ports": ports}}}))
    done = CliRunner().invoke(doctor, ["--config", str(path)], standalone_mode=False)
    assert status == done.return_value, done.output
    assert (status == 1) == ("FAIL  ports-published-many" in done.output)


@pytest.mark.parametrize(
    ("image", "severity"),
    [
        ("coturn/coturn:4.17.1-r0", "FAIL"),
        ("${COTURN_NEXT_IMAGE:-${COTURN_IMAGE:-coturn/coturn:4.17.0-r0}}", "FAIL"),
        ("registry.example.org/coturn:4.16.0", "WARN"),
        ("coturn/coturn:4.18.0-r0", None),
        ("coturn/coturn", None),
        ("prom/prometheus:v3.13.2", None),
        (5, None),
    ],
)
def test_the_lint_knows_the_image(tmp_path: Path, image: object, severity: str | None) -> None:
    """A coturn with known holes is a warning, by its tag; one that can't answer fails."""
    path = tmp_path / "compose.yaml"
    path.write_text(
        yaml.safe_dump({"services": {"relay": {"image": image, "network_mode": "host"}}})
    )
    done = CliRunner().invoke(doctor, ["--config", str(path)], standalone_mode=False)
    assert (1 if severity == "FAIL" else 0) == done.return_value, done.output
    if severity is None:
        assert "version-vulnerable" not in done.output
    else:
        assert f"\n{severity}  version-vulnerable\n  {path}: relay: has " in done.output


@pytest.mark.parametrize("source", ["head", "option"])
def test_the_lint_knows_a_version_that_cannot_answer(tmp_path: Path, source: str) -> None:
    """A turnserver.conf for it fails, by its header or by --coturn-version."""
    path = tmp_path / "turnserver.conf"
    text = render(Configuration(Version(4, 17, 1), "r", ("198.51.100.7",), "/d"))
    more = []
    if source == "option":
        text, more = text.replace("# For coturn 4.17.1.\n", ""), ["--coturn-version=4.17.1"]
    path.write_text(text)
    done = CliRunner().invoke(doctor, ["--config", str(path), *more], standalone_mode=False)
    assert (1, True) == (done.return_value, "FAIL  version-vulnerable" in done.output)


@pytest.mark.parametrize("name", ["compose.yaml", "compose.bridge.yaml"])
def test_our_own_compose_files_pass_the_lint(name: str) -> None:
    """compose's own tags and variables with defaults are read."""
    done = CliRunner().invoke(doctor, ["--config", str(ROOT / name)], standalone_mode=False)
    assert 0 == done.return_value, done.output


@pytest.mark.parametrize("text", ["a: [", "services: 1", "- 1"])
def test_no_compose_file_is_refused(tmp_path: Path, text: str) -> None:
    """Invalid YAML, or YAML that isn't a compose file, is wrong usage and never passes."""
    path = tmp_path / "compose.yml"
    path.write_text(text)
    done = CliRunner().invoke(doctor, ["--config", str(path)])
    assert (2, str(path) in done.output) == (done.exit_code, True)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--dir", "/nonexistent"], 2, "--dir /nonexistent: there is no such directory"),
        (["--config", "/nonexistent"], 2, "--config /nonexistent: there is no such file"),
        (["--config", "/"], 2, "--config / isn't a regular file"),
        (["--config", "/x", "--dir", "/"], 2, "--config looks at one file"),
        (["--container", "x", "--dir", "/"], 2, "--container looks at one container"),
        (["--container", "x"], 3, "no Docker engine answers (No such file or directory)"),
        (["--coturn-version", "4.18"], 2, "--coturn-version goes with --config"),
        (["--config", "/x", "--coturn-version", "new"], 2, "is not a coturn version such as"),
        (["--no-stun", "--stun", "x"], 2, "--stun and --no-stun exclude each other"),
        (["--stun", "a b"], 2, "is not a host name"),
        (["--compose-project", "x"], 3, "no Docker engine answers (No such file or directory)"),
        ([], 3, "nothing to look at: neither .signalpost nor"),
    ],
)
def test_wrong_usage_and_nothing_to_look_at(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    """Status 2 or 3, with one line that says why."""
    if not arguments and Path("/var/lib/signalpost").exists():
        pytest.skip("this host has a Signalpost")
    done = turnctl("doctor", *arguments, cwd=tmp_path)
    assert (status, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_directory_without_a_configuration(tmp_path: Path) -> None:
    """The looks that need it are skipped with the reason. The others are made."""
    document = report(tmp_path)
    looks = {look["name"]: look for look in document["looks"]}
    reason = f"{tmp_path}/coturn/turnserver.conf: there is no such file"
    for name in ("configuration", "secrets", "listeners", "addresses", "firewall"):
        assert ("skipped", [reason]) == (looks[name]["verdict"], looks[name]["unknown"])
    assert looks["buffers"]["seen"]
