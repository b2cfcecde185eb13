"""Configurations from the field, with doctor's findings on the server's own host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.lab import coturn, netns
from tests.lab.parts import require
from tests.lab.trials import files
from turnctl.commands.doctor import doctor

SECRET = "use-auth-secret\nstatic-auth-secret=Zk3Yw8Qp1Lr6Tn0Vx5Ha\n"
USER = "lt-cred-mech\nuser=alice:correct-horse\n"
HERE = "listening-port=20478\nlistening-ip=203.0.113.1\n"
PORTS = "min-port=40000\nmax-port=40100\n"
REALM = "realm=turn.example.org\n"
TLS = f"{HERE}tls-listening-port=20443\n{REALM}{SECRET}"
NAT = f"listening-port=20478\nlistening-ip=10.7.0.2\nrelay-ip=10.7.0.2\n{REALM}{SECRET}"
PAIR = "external-ip=203.0.113.10/10.7.0.2\n"

Findings = list[tuple[str, str, str]]
"""Severity and code, the place, the summary."""


@pytest.fixture(scope="module")
def host() -> Iterator[netns.Namespace]:
    """The server of the cases: 203.0.113.1 and .2, and 10.7.0.2 for those behind NAT."""
    require("turnserver", "ip", root=True)
    with netns.internet() as made:
        made.server.run(["ip", "address", "add", "10.7.0.2/24", "dev", "eth0"], check=True)
        yield made.server


@pytest.fixture(scope="module")
def present() -> Iterator[Mapping[str, Path]]:
    with files() as made:
        yield made


Doctor = Callable[..., Findings]


@pytest.fixture
def ask(host: netns.Namespace, tmp_path: Path, present: Mapping[str, Path]) -> Doctor:
    """doctor --config, on that host, with a file of this text. A missing deny list is left out:
    none of the cases has one."""

    def run(text: str, *more: str, name: str = "turnserver.conf") -> Findings:
        for word, path in present.items():
            text = text.replace(f"%{word}%", str(path))
        path = tmp_path / name
        path.write_text(text)
        argv = ["--config", str(path), "--format", "json", *more]
        done = coturn.within(host.name, lambda: CliRunner().invoke(doctor, argv))
        findings = json.loads(done.output)["findings"]
        found = [(f"{f['severity']} {f['code']}", f["url"], f["summary"]) for f in findings]
        return [one for one in found if "deny-list" not in one[0]]

    return run


def codes(findings: Findings) -> list[str]:
    return [code for code, _, _ in findings]


@pytest.mark.parametrize(
    "text",
    [
        f"{HERE}{PORTS}{REALM}{SECRET}",
        f"{HERE}{PORTS}{REALM}{USER}",
        # Double quotes.
        'listening-port=20478\nlistening-ip="203.0.113.1"\nmin-port="40000"\nmax-port="40100"\n'
        'realm="turn.example.org"\nfingerprint\nuse-auth-secret\n'
        'static-auth-secret="Zk3Yw8Qp1Lr6Tn0Vx5Ha"\ndenied-peer-ip="10.0.0.0-10.255.255.255"\n',
        f'{HERE}{REALM}lt-cred-mech\nuser="alice:correct-horse"  \n',
        'listening-ip="203.0.113.1\nrealm = "turn.example.org"\r\n' + SECRET.replace("\n", "\r\n"),
        # Blanks at the ends of lines.
        "listening-port=20478   \nlistening-ip=203.0.113.1  \nmin-port=40000\t\nmax-port=40100 \n"
        "realm=turn.example.org  \nuse-auth-secret\nstatic-auth-secret=Zk3Yw8Qp1Lr6Tn0Vx5Ha  \n"
        "denied-peer-ip=10.0.0.0-10.255.255.255  \nno-multicast-peers \n",
        # Switches.
        f"{HERE}verbose=10\n{REALM}{SECRET}",
        f"{HERE}verbose=0\nno-tcp=no\nfingerprint=2\nno-udp=n\n{REALM}{SECRET}",
        f"{HERE}stale-nonce\nmax-allocate-lifetime=\n{REALM}{SECRET}",
        # Addresses behind NAT, and two of them.
        f"{NAT}{PAIR}",
        f"{NAT}external-ip= 203.0.113.10 / 10.7.0.2 \n",
        f"{HERE}relay-ip=203.0.113.2\nexternal-ip=203.0.113.2\n{REALM}{USER}",
        f"listening-ip=0.0.0.0\nrelay-ip=10.7.0.2\n{PAIR}{REALM}{SECRET}",
        # Certificates.
        f"{TLS}cert=%cert%\npkey=%key%\n",
        f'{TLS}cert="%cert%"\npkey="%key%"\nproc-user=nobody\n',
        f"{TLS}cert=%cert%\npkey=%encrypted%\npkey-pwd=horse\n",
        f"{TLS}cert=%cert%\npkey=%key%\nno-tlsv1_2=no\n",
    ],
)
def test_nothing_is_wrong(ask: Doctor, text: str) -> None:
    """coturn reads these as they are meant."""
    assert [] == ask(text, "--coturn-version", "4.6.1")
    assert [] == ask(text, "--coturn-version", "4.18.0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # No realm.
        (f"{HERE}{PORTS}{USER}", "fail realm-missing"),
        (f"{HERE}{PORTS}{SECRET}", "fail realm-missing"),
        (f"{HERE}{PORTS}realm=\n{SECRET}", "fail realm-missing"),
        (f'{HERE}{PORTS}realm=""\n{SECRET}', "fail realm-missing"),
        (f"{HERE}{PORTS}#realm=turn.example.org\n{SECRET}", "fail realm-missing"),
        # Mechanisms.
        (f"{HERE}{PORTS}{REALM}lt-cred-mech\n{SECRET}", "warn auth-mechanisms-mixed"),
        (f"{HERE}{REALM}{SECRET}user=alice:correct-horse\n", "warn auth-mechanisms-mixed"),
        (f"{HERE}{REALM}{SECRET}lt-cred-mech=no\n", "fail open-relay"),
        (f"{HERE}{REALM}{SECRET}no-auth=0\n", "fail open-relay"),
        (f"{HERE}{REALM}use-auth-secret\n", "warn credentials-missing"),
        (f"{HERE}{REALM}lt-cred-mech\n", "warn credentials-missing"),
        # external-ip.
        (f"{HERE}external-ip=turn.example.org\n{REALM}{SECRET}", "warn address-name"),
        (f"{NAT}external-ip=turn.example.org/10.7.0.2\n", "warn address-name"),
        (f"{NAT}external-ip=10.7.0.2/203.0.113.10\n", "fail external-ip-reversed"),
        (
            f"listening-ip=10.7.0.2\nexternal-ip=10.7.0.2/192.168.1.9\n{REALM}{SECRET}",
            "fail external-ip-reversed",
        ),
        (f"{NAT}external-ip=203.0.113.10:10.7.0.2\n", "fail value-invalid"),
        (f"{NAT}external-ip=203.0.113.10/24\n", "fail value-invalid"),
        (f"{NAT}external-ip=203.0.113.10\n", "fail external-ip-alone"),
        (f"{NAT}external-ip=203.0.113.10/10.7.0.3\n", "fail external-ip-other-address"),
        (f"{HERE}external-ip=1.1.1.1\nexternal-ip=1.0.0.1\n{REALM}{SECRET}",
         "fail option-repeated"),
        # The outer address where the inner one belongs.
        (
            f"listening-ip=203.0.113.10\nrelay-ip=10.7.0.2\n{PAIR}{REALM}{USER}",
            "fail listening-ip-outer",
        ),
        (f"listening-ip=203.0.113.10\n{PAIR}{REALM}{USER}", "fail listening-ip-outer"),
        (f"listening-ip=10.7.0.2\nrelay-ip=203.0.113.10\n{PAIR}{REALM}{USER}",
         "fail listening-ip-outer"),
        # Addresses of another host.
        (f"{HERE}relay-ip=198.51.100.7\nexternal-ip=198.51.100.7\n{REALM}{USER}",
         "fail address-gone"),
        (f"{HERE}listening-ip=198.51.100.8\n{REALM}{USER}", "fail address-gone"),
        # Ports.
        (f"{HERE}min-port=40100\nmax-port=40000\n{REALM}{SECRET}", "fail value-invalid"),
        (f"{HERE}max-port=40000\n{REALM}{SECRET}", "fail value-invalid"),
        (f"{HERE}bps-capacity=100\n{REALM}{SECRET}", "fail value-invalid"),
        # STUN alone.
        (f"{HERE}{REALM}{USER}stun-only\n", "warn stun-only"),
        # Quotes and comments that are part of the value.
        (f"{HERE}{REALM}use-auth-secret\nstatic-auth-secret='Zk3Yw8Qp1Lr6Tn0Vx5Ha'\n",
         "fail secret-malformed"),
        (f'{HERE}{REALM}static-auth-secret="Zk3Yw8Qp1Lr6Tn0Vx5Ha" # text\n',
         "fail trailing-comment"),
        (f"{HERE}realm='turn.example.org'\n{SECRET}", "fail value-invalid"),
        (f"{HERE}realm=turn.example.org;\n{SECRET}", "fail value-invalid"),
        (f"{HERE}--realm=turn.example.org\n{REALM}{SECRET}", "fail option-unknown"),
        (f"\ufefflistening-port=20478\n{REALM}{SECRET}", "fail option-unknown"),
        # TLS.
        (TLS, "fail tls-certificate-missing"),
        (f"{TLS}cert=%cert%\n", "fail tls-certificate-missing"),
        (f"{TLS}cert=%cert%\npkey=\n", "fail tls-certificate-missing"),
        (f"{TLS}cert=%cert%\npkey=%other%\n", "fail tls-key-mismatch"),
        (f"{TLS}cert=%key%\npkey=%cert%\n", "fail tls-file-invalid"),
        (f"{TLS}cert=%cert%\npkey=%text%\n", "fail tls-file-invalid"),
        (f"{TLS}cert=%cert%\npkey=%encrypted%\n", "fail tls-file-invalid"),
        (f"{TLS}cert=%cert%\npkey=%encrypted%\npkey-pwd=mare\n", "fail tls-file-invalid"),
        (f"{TLS}cert=%cert%\npkey=%root%\nproc-user=nobody\nproc-group=nogroup\n",
         "fail tls-file-unreadable"),
        (f"{TLS}cert=%cert%\npkey=%key%\nno-tls\n", "warn tls-switched-off"),
        (f"{TLS}cert=%cert%\npkey=%key%\nno-tlsv1\nno-tlsv1_1\nno-tlsv1_2\n",
         "fail tls-version-off"),
        (f"{HERE}{REALM}{SECRET}proc-user=nobody-at-all\n", "fail value-invalid"),
    ],
)  # fmt: skip
def test_one_thing_is_wrong(ask: Doctor, text: str, expected: str) -> None:
    """It is reported, and nothing else is."""
    assert {expected} == set(codes(ask(text, "--coturn-version", "4.6.1")))


def test_files_one_by_one(ask: Doctor) -> None:
    """A missing certificate and a missing key are both reported, with line and path."""
    found = ask(f"{TLS}cert=/none/fullchain.pem\npkey=/none/privkey.pem\n")
    assert ["fail tls-file-missing"] * 2 == codes(found)
    assert ("/none/fullchain.pem" in found[0][2], "/none/privkey.pem" in found[1][2]) == (True,) * 2
    assert (":7", ":8") == (found[0][1][-2:], found[1][1][-2:])


def test_a_directory_that_the_user_may_not_enter(
    ask: Doctor, present: Mapping[str, Path], tmp_path: Path
) -> None:
    """As with /etc/letsencrypt/live: readable files in a directory that only root can enter."""
    live = tmp_path / "live"
    live.mkdir(mode=0o700)
    for name in ("cert", "key"):
        shutil.copy(present[name], live / name)
        (live / name).chmod(0o644)
    found = ask(f"{TLS}cert={live}/cert\npkey={live}/key\nproc-user=nobody\n")
    assert {"fail tls-file-unreadable"} == set(codes(found))
    assert "can't enter" in found[0][2]


def test_swap_the_two(ask: Doctor) -> None:
    """The summary has the correct line."""
    (found,) = ask(f"{NAT}external-ip=10.7.0.2/203.0.113.10\n")
    assert "external-ip=203.0.113.10/10.7.0.2" in found[2]
    (found,) = ask(f"listening-ip=203.0.113.10\nrelay-ip=10.7.0.2\n{PAIR}{REALM}{USER}")
    assert "listening-ip=10.7.0.2" in found[2]


def test_relay_addresses_of_docker(ask: Doctor) -> None:
    """Addresses that the host lacks are reported, and so is one public address for all of them."""
    relays = "relay-ip=203.0.113.1\nrelay-ip=172.17.0.1\nrelay-ip=192.168.176.1\n"
    found = ask(f"{HERE}{relays}external-ip=203.0.113.1\n{REALM}{USER}")
    assert ["fail external-ip-alone", "fail address-gone", "fail address-gone"] == codes(found)
    assert "relay-ip=172.17.0.1" in found[1][2]


def test_misspelt_options(ask: Doctor) -> None:
    """Each is reported with the option that was probably meant."""
    text = "listen-ip=203.0.113.1\nexternal-port=3478\nTURNSERVER_ENABLED=1\nRealm=x\n-realm=x\n"
    found = ask(f"{text}{HERE}{REALM}{USER}")
    assert {"fail option-unknown"} == set(codes(found))
    summaries = [summary for _, _, summary in found]
    assert ("write listening-ip" in summaries[0], "write realm" in summaries[3]) == (True, True)
    assert "write realm without dashes" in summaries[4]


def test_tls_1_2_off_in_a_later_version(ask: Doctor) -> None:
    """4.18.0 then uses TLS 1.3, as configured: tried."""
    text = f"{TLS}cert=%cert%\npkey=%key%\nno-tlsv1_2\n"
    assert [] == ask(text, "--coturn-version", "4.18.0")
    assert ["fail tls-version-off"] == codes(ask(text, "--coturn-version", "4.6.1"))


def test_a_configuration_of_another_host(
    ask: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without an installed coturn nothing is claimed, and with one the addresses are warnings. One
    address of this host proves that the file is for it."""
    text = (
        f"listening-ip=198.51.100.7\ntls-listening-port=5349\n{REALM}{SECRET}"
        "cert=/none/cert\npkey=/none/key\n"
    )
    assert ["warn address-gone", "fail tls-file-missing", "fail tls-file-missing"] == codes(
        ask(text)
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [] == ask(text)
    found = codes(ask(f"{text}relay-ip=203.0.113.1\n"))
    assert ["fail address-gone", "fail tls-file-missing", "fail tls-file-missing"] == found


def test_what_was_not_judged_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that weren't made are listed with the reason, and have no finding."""
    path = tmp_path / "turnserver.conf"
    path.write_text(f"relay-ip=198.51.100.7\ncert=/none/c\npkey=/none/k\n{REALM}{SECRET}")
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(doctor, ["--config", str(path)], standalone_mode=False)
    assert "SKIPPED  addresses" in done.output
    assert "SKIPPED  certificates" in done.output
    assert "whether the host has 198.51.100.7" in done.output


COMMAND = """\
    command:
      - "--listening-port=3478"
      - "--external-ip=203.0.113.10"
      - "--min-port=49160"
      - "--max-port=49200"
      - "--realm=turn.example.org"
      - "--lt-cred-mech"
      - "--static-auth-secret=Zk3Yw8Qp1Lr6Tn0Vx5Ha"
"""
SERVICE = "services:\n  coturn:\n    image: coturn/coturn:4.6.3\n"
LISTENER = '      - "3478:3478"\n      - "3478:3478/udp"\n'
FILE = 'listening-port=3478\nmin-port="49160"\nmax-port=49180 \nrealm=r\n' + SECRET


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (f'    ports:\n{LISTENER}      - "49160-49180:49160-49180/udp"\n{COMMAND}',
         ["49181-49200/udp"]),
        (f'    ports:\n{LISTENER}      - "49160-49200:49160-49200/udp"\n{COMMAND}', []),
        (f'    ports:\n      - "3478:3478"\n      - "49160-49200:49160-49200/udp"\n{COMMAND}',
         ["3478/udp"]),
        (f'    ports:\n{LISTENER}      - "49160-49200:49160-49200"\n{COMMAND}',
         ["49160-49200/udp"]),
        (f'    ports:\n{LISTENER}      - "50000-50040:49160-49200/udp"\n{COMMAND}',
         ["49160-49200/udp"]),
        (f'    ports:\n{LISTENER}      - "127.0.0.1:49160-49200:49160-49200/udp"\n{COMMAND}',
         ["49160-49200/udp"]),
        (f"    ports:\n{LISTENER}      - target: 49160\n        published: '49160'\n"
         f"        protocol: udp\n{COMMAND}", ["49161-49200/udp"]),
        (f"    network_mode: host\n{COMMAND}", []),
        (f"    ports:\n{LISTENER}", ["49152-65535/udp"]),
        (f"    ports:\n{LISTENER}    command: -n --min-port 50000 --max-port=50001\n",
         ["50000-50001/udp"]),
        (f"    ports:\n{LISTENER}    volumes:\n"
         "      - ./turn.conf:/etc/coturn/turnserver.conf:ro\n", ["49160-49180/udp"]),
        (f"    ports:\n{LISTENER}    volumes:\n      - ./:/conf\n    command: -c /conf/turn.conf "
         "--max-port=49170\n", ["49160-49170/udp"]),
        (f"    ports:\n{LISTENER}    command: --listening-port=${{PORT}} --min-port=50000\n", []),
    ],
)  # fmt: skip
def test_published_ports_of_a_compose_file(
    ask: Doctor, tmp_path: Path, text: str, missing: list[str]
) -> None:
    """They are compared with the options in `command:` and in the mounted file. Host networking
    needs none, and a variable without a default stays unknown."""
    (tmp_path / "turn.conf").write_text(FILE)
    found = ask(f"{SERVICE}{text}", name="compose.yaml")
    summaries = [summary for code, _, summary in found if code == "fail port-not-published"]
    assert len(missing) == len(summaries), found
    assert all(ports in summary for ports, summary in zip(missing, summaries, strict=True)), (
        summaries
    )


def test_the_options_of_a_compose_file(ask: Doctor) -> None:
    """They are judged like a file's options."""
    ports = f'    ports:\n{LISTENER}      - "49160-49200:49160-49200/udp"\n'
    command = COMMAND.replace('      - "--realm=turn.example.org"\n', "")
    assert "fail realm-missing" in codes(ask(f"{SERVICE}{ports}{command}", name="compose.yaml"))
    assert "fail realm-missing" not in codes(ask(f"{SERVICE}{ports}{COMMAND}", name="compose.yaml"))
