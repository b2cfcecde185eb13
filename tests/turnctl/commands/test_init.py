"""`turnctl init` as a user runs it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from signalpost.credentials import Secret
from tests.lab import coturn, names, netns
from turnctl.commands.init import init
from turnctl.coturn import database

VERSION = "--coturn-version=4.18.0"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EXTERNAL_IP", "STUN_SERVERS", "NO_STUN", "COTURN_VERSION"):
        monkeypatch.delenv(name, raising=False)


def run(directory: Path, *options: str, **environment: str) -> Result:
    """Run init in a directory, with STUN off unless the options say otherwise."""
    arguments = ["--dir", str(directory), *options]
    if not any("stun" in option for option in options):
        arguments.append("--no-stun")
    return CliRunner().invoke(init, arguments, env=environment)


def settings(directory: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((directory / "signalpost.yaml").read_text())
    return loaded


def test_a_fresh_directory_gets_everything(tmp_path: Path, own_address: str) -> None:
    """Four secrets, the service's settings and coturn's, which share the TURN secret."""
    result = run(tmp_path / "data", VERSION)
    assert result.exit_code == 0, result.output
    for name in ("turn-secret", "api-key", "token-key", "id-key"):
        assert (tmp_path / "data" / name).stat().st_mode & 0o777 == 0o600
    assert settings(tmp_path / "data") == {
        "http": {"host": "::", "port": 8080},
        "metrics": {"port": 9464},
        "turn": {
            "secrets_file": "turn-secret",
            "relays": [{"host": own_address, "udp": 3478, "tcp": 3478}],
        },
        "auth": {
            "api_keys_file": "api-key",
            "token_keys_file": "token-key",
            "id_key_file": "id-key",
        },
    }
    secret = (tmp_path / "data" / "turn-secret").read_text().strip()
    home = tmp_path / "data" / "coturn"
    assert {Secret(secret)} == database.get(home / "turndb", "signalpost")
    assert secret not in (home / "turnserver.conf").read_text()
    assert (home / "turnserver.conf").stat().st_mode & 0o777 == 0o400


def test_the_secrets_differ(tmp_path: Path) -> None:
    """None of the three keys is the TURN secret, so that rotating it changes no user id."""
    run(tmp_path, VERSION)
    names = ("turn-secret", "api-key", "token-key", "id-key")
    assert len({(tmp_path / name).read_text() for name in names}) == 4


def test_no_secret_is_printed(tmp_path: Path) -> None:
    """What init says can stand in a log."""
    output = run(tmp_path, VERSION).output
    for name in ("turn-secret", "api-key", "token-key", "id-key"):
        assert (tmp_path / name).read_text().strip() not in output


def test_how_the_address_was_found_is_told(tmp_path: Path) -> None:
    """The terminal, signalpost.yaml and turnserver.conf say where the address is from."""
    result = run(tmp_path, VERSION, EXTERNAL_IP="8.8.8.8")
    for text in (
        result.output,
        (tmp_path / "signalpost.yaml").read_text(),
        (tmp_path / "coturn" / "turnserver.conf").read_text(),
    ):
        assert "8.8.8.8: from EXTERNAL_IP" in text
    assert settings(tmp_path)["turn"]["relays"][0]["host"] == "8.8.8.8"


def test_again_keeps_secrets_and_renders_anew(tmp_path: Path) -> None:
    """A second run with another port changes the files and not the secrets."""
    run(tmp_path, VERSION)
    secret = (tmp_path / "turn-secret").read_text()
    result = run(tmp_path, VERSION, "--port", "3479")
    assert (tmp_path / "turn-secret").read_text() == secret
    assert settings(tmp_path)["turn"]["relays"][0]["udp"] == 3479
    assert "listening-port=3479\n" in (tmp_path / "coturn" / "turnserver.conf").read_text()
    assert "turn-secret: kept" in result.output


def test_edited_settings_are_kept(tmp_path: Path) -> None:
    """A signalpost.yaml somebody edited stays, which is said; --force replaces it."""
    run(tmp_path, VERSION)
    path = tmp_path / "signalpost.yaml"
    edited = path.read_text().replace("8080", "8081")
    path.write_text(edited)
    result = run(tmp_path, VERSION, "--port", "3479")
    assert path.read_text() == edited
    assert re.search(r"signalpost\.yaml: kept.*--force.*3479", result.output)
    run(tmp_path, VERSION, "--force")
    assert settings(tmp_path)["http"]["port"] == 8080


def test_local_service_listens_on_loopback(tmp_path: Path) -> None:
    """A laptop's service is for the laptop, unless another address is named."""
    run(tmp_path, VERSION, "--local")
    assert settings(tmp_path)["http"]["host"] == "127.0.0.1"
    run(tmp_path, VERSION, "--local", "--http-host", "0.0.0.0")
    assert settings(tmp_path)["http"]["host"] == "0.0.0.0"


def test_the_services_figures_have_the_port_that_was_asked_for(tmp_path: Path) -> None:
    """One option tells the service where they are and Prometheus where to find them."""
    run(tmp_path, VERSION, "--metrics-port", "9999")
    assert {"port": 9999} == settings(tmp_path)["metrics"]


def test_environment_counts_and_empty_is_unset(tmp_path: Path) -> None:
    """compose passes empty values for what is not set, and they change nothing."""
    result = run(tmp_path, COTURN_VERSION="4.18.1", EXTERNAL_IP="", STUN_SERVERS="", NO_STUN="")
    assert "for coturn 4.18.1" in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--external-ip", "example.org"], "'example.org' is not an IP address"),
        (["--external-ip", "127.0.0.1"], "a relay can't use the address"),
        (["--listen", "0.0.0.0"], "a relay can't use the address"),
        (["--listen", "fe80::1"], "a relay can't use the address"),
        (["--stun", "a b"], "not a host name"),
        (["--stun", "stun.example.org", "--no-stun"], "exclude each other"),
        (["--coturn-version", "latest"], "such as 4.18.0"),
        (["--realm", "a b"], "letters, digits"),
        (["--realm", "a\nlt-cred-mech"], "letters, digits"),
        (["--port", "70000"], "70000"),
        (["--port", "50000"], "is in the relay range"),
        (["--min-port", "60000", "--max-port", "50000"], "--min-port 60000 is above"),
        (["--http-host", "localhost"], "not an IP address"),
        (["--domain", "https://turn.example.org"], "is a URL"),
        (["--domain", "turn.example.org", "--email", "you"], "such as you@example.org"),
        (["--relay", "coturn-next"], "give --next-port"),
        (["--next-port", "3478"], "coturn and coturn-next can't both use port 3478"),
        (["--bps-capacity", "2000000"], "room for 1 allocations"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, options: list[str], said: str) -> None:
    """Each wrong option ends with status 2, says what is accepted, and writes nothing."""
    result = run(tmp_path / "data", VERSION, *options)
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("old", ["4.6.1", "4.16.0"])
def test_old_coturn_is_refused_on_the_internet(tmp_path: Path, old: str) -> None:
    """No file is written that would put a coturn with known holes on a public address."""
    result = run(tmp_path / "data", "--coturn-version", old, "--external-ip", "8.8.8.8")
    assert result.exit_code == 3
    assert "Use coturn 4.18.0 or later, or Docker" in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("version", "image", "where"),
    [
        ("4.17.0", None, "--coturn-version or COTURN_VERSION"),
        ("4.17.1", "coturn/coturn:4.18.0-r0", "--coturn-version or COTURN_VERSION"),
        ("4.17", None, "--coturn-version or COTURN_VERSION"),
        ("4.17.2-r0", None, "--coturn-version or COTURN_VERSION"),
        ("4.18.0", "coturn/coturn:4.17.1-r0", "image coturn/coturn:4.17.1-r0"),
    ],
)
@pytest.mark.parametrize("address", ["192.168.1.5", "8.8.8.8"])
def test_a_coturn_that_cannot_answer_is_refused(
    tmp_path: Path, version: str, image: str | None, where: str, address: str
) -> None:
    """4.17 is refused in every network, by one line; nothing is written."""
    options = ["--external-ip", address, *([f"--coturn-image={image}"] if image else [])]
    result = run(tmp_path / "data", *options, COTURN_VERSION=version)
    assert result.exit_code == 3
    [line] = result.output.splitlines()
    assert line.startswith("Error: coturn 4.17")
    assert line.endswith(f"Use coturn 4.18.0 or later ({where})")
    assert not (tmp_path / "data").exists()


def test_an_image_without_a_version_says_nothing(tmp_path: Path) -> None:
    """Its tag may be anything: the version that is named counts."""
    for image in ("coturn/coturn:latest", "example.org:5000/relay", "coturn/coturn:4.18.0-r0"):
        result = run(tmp_path, VERSION, "--coturn-image", image)
        assert result.exit_code == 0, result.output


def test_an_installed_coturn_that_cannot_answer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `make up` runs init without Docker: the program itself is asked."""
    program = tmp_path / "turnserver"
    program.write_text("#!/bin/sh\necho 4.17.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    result = run(tmp_path / "data", "--local")
    assert result.exit_code == 3
    assert result.output.endswith("Use coturn 4.18.0 or later (turnserver --version)\n")


def test_open_secret_is_refused(tmp_path: Path) -> None:
    """A secret others can read stops init with the command that mends it."""
    run(tmp_path, VERSION)
    (tmp_path / "turn-secret").chmod(0o644)
    result = run(tmp_path, VERSION)
    assert result.exit_code == 3
    assert f"chmod 600 {tmp_path / 'turn-secret'}" in result.output


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A path through a file is refused with one line that names it."""
    (tmp_path / "file").write_text("")
    result = run(tmp_path / "file" / "data", VERSION)
    assert result.exit_code == 3
    assert "Not a directory" in result.output


def test_four_relays_where_there_is_room_for_them(tmp_path: Path) -> None:
    """Each has its configuration, its ports and the secret, as compose.yaml asks for it."""
    result = run(
        tmp_path, VERSION, TURN_PORT="3478", TURN_NEXT_PORT="3479", EDGE_TURN_PORT="3480",
        EDGE_TURN_NEXT_PORT="3482",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    secret = Secret((tmp_path / "turn-secret").read_text().strip())
    listening = {}
    for name in ("coturn", "coturn-next", "coturn-edge", "coturn-edge-next"):
        conf = (tmp_path / name / "turnserver.conf").read_text()
        listening[name] = re.findall("^(?:listening|tcp-proxy)-port=(.*)$", conf, re.MULTILINE)
        assert {secret} == database.get(tmp_path / name / "turndb", "signalpost")
    assert {
        "coturn": ["3478"],
        "coturn-next": ["3479"],
        "coturn-edge": ["3481", "3480"],
        "coturn-edge-next": ["3483", "3482"],
    } == listening


def test_with_a_domain(tmp_path: Path) -> None:
    """The service is behind the edge alone and believes it alone; the relay has a name and TLS; the
    edge has a certificate to start with, which a second run leaves in place."""
    data = tmp_path / "data"
    result = run(data, VERSION, DOMAIN="turn.example.org")
    assert result.exit_code == 0, result.output
    assert {
        "host": "127.0.0.1",
        "port": 8080,
        "public_name": "turn.example.org",
        "trusted_proxies": ["127.0.0.2/32"],
    } == settings(data)["http"]
    relay = {"host": "turn.example.org", "udp": 3478, "tcp": 3478, "tls": 443}
    assert [relay] == settings(data)["turn"]["relays"]
    assert (data / "coturn-edge" / "turnserver.conf").exists()
    certificate = data / "certificates" / "edge.pem"
    assert 0o440 == certificate.stat().st_mode & 0o777
    before = certificate.read_text()
    assert "PRIVATE KEY" in before
    run(data, VERSION, DOMAIN="turn.example.org")
    assert before == certificate.read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "has no PEM certificate"), ("half of it", "has no PEM private key")],
)
def test_a_certificate_that_no_edge_can_read(tmp_path: Path, content: str, said: str) -> None:
    """The edge would not start with it, and nobody else replaces it before the edge has started."""
    data = tmp_path / "data"
    run(data, VERSION, DOMAIN="turn.example.org")
    path = data / "certificates" / "edge.pem"
    made, end, _ = path.read_text().partition("-----END CERTIFICATE-----\n")
    path.chmod(0o600)
    path.write_text(content and made + end)
    result = run(data, VERSION, DOMAIN="turn.example.org")
    assert 0 == result.exit_code, result.output
    assert f"{path}: {said}: self-signed, until the edge gets a real one" in result.output
    assert "PRIVATE KEY" in path.read_text()


def test_a_domain_on_the_command_line_is_kept(tmp_path: Path) -> None:
    """It goes to .env, written the one way; what the environment says is there already."""
    env = tmp_path / ".env"
    options = (VERSION, "--env-file", str(env))
    run(tmp_path / "data", *options, DOMAIN="turn.example.org", ACME_EMAIL="you@example.org")
    assert not env.exists()
    result = run(tmp_path / "data", *options, "--domain", "Turn.Example.ORG.", DOMAIN="no name")
    assert result.exit_code == 0, result.output
    assert "DOMAIN=turn.example.org\nCOMPOSE_PROFILES=${DOMAIN:+tls}\n" == env.read_text()
    assert "DNS records of turn.example.org:" in result.output
    assert "49152-57343/udp" in result.output


def test_dns_is_compared_with_the_address(tmp_path: Path) -> None:
    """A name that leads here by an alias, and one that leads elsewhere, in a lab's network."""
    turnctl = str(Path(sys.executable).with_name("turnctl"))
    arguments = ["init", "--dir", str(tmp_path), VERSION, "--no-stun", "--env-file"]
    with netns.site() as site:
        own = site.server.address
        with names.names(site.server, "host.lab.test turn.lab.test", [own]):
            argv = [turnctl, *arguments, str(tmp_path / ".env"), "--domain", "turn.lab.test"]
            right = site.server.run(argv)
        with names.names(site.server, "turn.lab.test", ["203.0.113.77"]):
            wrong = site.server.run(argv)
    assert re.search(rf"A +{own} +right by CNAME host.lab.test\n", right.stdout), right.stderr
    assert re.search(rf"A +{own} +points to 203.0.113.77: change it\n", wrong.stdout), wrong.stderr


def test_a_domain_of_the_environment_is_written_one_way(tmp_path: Path) -> None:
    """compose hands the same text to the edge and to the ACME client, who take it as it is."""
    result = run(tmp_path / "data", VERSION, DOMAIN="Turn.Example.ORG")
    assert result.exit_code == 2
    assert "write it as DOMAIN=turn.example.org" in result.output
    assert not (tmp_path / "data").exists()


def test_clients_are_sent_to_the_next_relay(tmp_path: Path) -> None:
    """While an upgrade runs; the step after it, and every plain start, sends them back."""
    next_ = ("--next-port", "3479")
    run(tmp_path, VERSION, *next_, "--relay", "coturn-next")
    assert 3479 == settings(tmp_path)["turn"]["relays"][0]["udp"]
    run(tmp_path, VERSION, *next_)
    assert 3478 == settings(tmp_path)["turn"]["relays"][0]["udp"]


def test_an_upgrade_does_not_pass_over_edited_settings(tmp_path: Path) -> None:
    """They stay, so the next relay would get no client: it is refused, with what to write."""
    run(tmp_path, VERSION)
    path = tmp_path / "signalpost.yaml"
    path.write_text(path.read_text().replace("8080", "8081"))
    result = run(tmp_path, VERSION, "--next-port", "3479", "--relay", "coturn-next")
    assert result.exit_code == 3
    assert '"udp": 3479' in result.output


def test_only_leaves_the_other_relays_as_they_are(tmp_path: Path) -> None:
    """They run another version; whoever is handed out changes all the same."""
    next_ = ("--next-port", "3479")
    run(tmp_path, VERSION, *next_)
    before = (tmp_path / "coturn" / "turnserver.conf").read_text()
    newer = ("--coturn-version", "4.99.0")
    run(tmp_path, *newer, *next_, "--relay", "coturn-next", "--only", "coturn-next")
    assert before == (tmp_path / "coturn" / "turnserver.conf").read_text()
    assert "# For coturn 4.99.0." in (tmp_path / "coturn-next" / "turnserver.conf").read_text()
    assert 3479 == settings(tmp_path)["turn"]["relays"][0]["udp"]


def test_limits_reach_every_relay(tmp_path: Path) -> None:
    """By option or variable; the rate of all has to be many allocations' worth."""
    options = ("--next-port", "3479", "--user-quota", "20", "--bps-capacity", "50000000")
    run(tmp_path, VERSION, *options, TURN_MAX_BPS="1000000", TURN_TOTAL_QUOTA="")
    for name in ("coturn", "coturn-next"):
        conf = (tmp_path / name / "turnserver.conf").read_text()
        for line in ("user-quota=20", "max-bps=1000000", "bps-capacity=50000000"):
            assert f"\n{line}\n" in conf


def test_the_probe_gets_its_key(tmp_path: Path) -> None:
    """Where it has a directory, as in compose.yaml: the key that mints, and no other."""
    (tmp_path / "probe").mkdir()
    run(tmp_path, VERSION)
    assert (tmp_path / "api-key").read_text() == (tmp_path / "probe" / "api-key").read_text()


FORWARDED = """
table ip forwarded {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr 203.0.113.10 udp dport 3478 dnat to 10.99.0.2
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    iifname "lan" oifname "lan" masquerade
  }
}
"""


@pytest.mark.parametrize("forwarded", [False, True])
def test_behind_a_real_nat(tmp_path: Path, forwarded: bool) -> None:
    """What STUN sees counts as the public address exactly when the router forwards to us."""
    with (
        netns.site() as site,
        coturn.running(site.server.address, namespace=site.server.name) as server,
    ):
        if forwarded:
            site.router.nft(FORWARDED)
        stun = f"{server.host}:{server.port}"
        turnctl = str(Path(sys.executable).with_name("turnctl"))
        done = site.run([turnctl, "init", "--dir", str(tmp_path), VERSION, "--stun", stun])
    assert done.returncode == 0, done.stderr
    conf = (tmp_path / "coturn" / "turnserver.conf").read_text()
    assert ("\nexternal-ip=203.0.113.10/10.99.0.2\n" in conf) is forwarded
    host = settings(tmp_path)["turn"]["relays"][0]["host"]
    assert host == ("203.0.113.10" if forwarded else "10.99.0.2")
    assert stun in done.stdout
    assert ("came back" in done.stdout) is forwarded


OPENED = """
table ip opened {
  chain prerouting {
    type nat hook prerouting priority dstnat
    ip daddr 203.0.113.10 tcp dport { 443, 3478 } dnat to 10.99.0.2
    ip daddr 203.0.113.10 udp dport { 3478, 50000-65535 } dnat to 10.99.0.2
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    iifname "lan" oifname "lan" masquerade
  }
}
"""


def test_which_ports_a_real_nat_lets_in(tmp_path: Path) -> None:
    """What comes back through the router is open; of 80, which is not forwarded, and of a range
    that is only in part, nothing is claimed."""
    turnctl = str(Path(sys.executable).with_name("turnctl"))
    argv = [turnctl, "init", "--dir", str(tmp_path), VERSION, "--no-stun"]
    argv += ["--external-ip", "203.0.113.10", "--domain", "turn.lab.test"]
    argv += ["--env-file", str(tmp_path / ".env")]
    with netns.site() as site:
        site.router.nft(OPENED)
        done = site.run(argv)
        narrow = site.run([*argv, "--min-port", "50000"])
    assert done.returncode == 0, done.stderr
    known = dict(
        re.findall(r"^  (\S+/(?:tcp|udp)) .*  (open|can.t be tested)", done.stdout, re.MULTILINE)
    )
    assert {
        "80/tcp": "can't be tested",
        "443/tcp": "open",
        "3478/udp": "open",
        "3478/tcp": "open",
        "49152-57343/udp": "can't be tested",
    } == known
    assert re.search(r"^  50000-\d+/udp .* open: a packet came back$", narrow.stdout, re.MULTILINE)
