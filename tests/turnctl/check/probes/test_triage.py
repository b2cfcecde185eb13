"""A refused credential, triaged: real servers and services, of which one has a wrong clock, another
secret, or neither.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, web
from tests.lab.matrix import fault
from tests.lab.parts import require
from tests.lab.prober import Checked, check, write_ice_servers
from tests.lab.service import Service, serving

HOURS = 7200
"""Seconds: two of them, by which a clock is wrong."""

OTHER = "another-secret-than-coturns-0123456789"

versions = pytest.mark.parametrize("version", coturn.VERSIONS)


def by_key(service: Service) -> Checked:
    return check("--api-key-file", str(service.api_key_file), service.url)


def secret_file(folder: Path, secret: str) -> str:
    path = folder / "secret"
    path.write_text(secret)
    path.chmod(0o600)
    return str(path)


def failing(checked: Checked) -> list[dict[str, Any]]:
    return [one for one in checked.report["findings"] if one["severity"] == "fail"]


def only(code: str, checked: Checked) -> dict[str, Any]:
    """The one failing finding, of that code; its evidence and summary."""
    assert [code] == [one["code"] for one in failing(checked)]
    [finding] = failing(checked)
    return {**finding["evidence"], "summary": finding["summary"], "fix": finding["fix"]}


def ahead(clock: int) -> Any:
    """What is read off a clock, with the seconds that a busy machine takes for it."""
    return pytest.approx(clock, abs=60)


# --- whose clock -------------------------------------------------------------------------------


@versions
@fault("clock-skew", "coturn's clock two hours ahead, with the service's key")
def test_a_server_whose_clock_is_ahead(own_address: str, version: coturn.Version) -> None:
    """The service's and this machine's clock agree, and by how much the server's does not is told:
    by its nonce, or before 4.17 by what it takes.
    """
    with (
        coturn.running(own_address, version=version, ahead=HOURS) as server,
        serving(server) as service,
    ):
        seen = only("clock-skew", by_key(service))
    assert ("server", ahead(0)) == (seen["clockOff"], seen["issuerClock"])
    if version == "4.6.1":
        low, high = seen["serverClock"]
        assert low <= HOURS <= high <= 1.25 * low + 60
    else:
        assert ahead(HOURS) == seen["serverClock"]


@versions
@fault("clock-skew", "the service's clock two hours behind, with its key")
def test_an_issuer_whose_clock_is_behind(own_address: str, version: coturn.Version) -> None:
    """Its Date tells; the server's clock agrees with this machine's."""
    with (
        coturn.running(own_address, version=version) as server,
        serving(server, ahead=-HOURS) as service,
    ):
        seen = only("clock-skew", by_key(service))
    assert ("issuer", ahead(-HOURS)) == (seen["clockOff"], seen["issuerClock"])
    assert "the issuer's clock is 7" in seen["summary"]


@fault("clock-skew", "the service's clock two hours behind, without its key")
@pytest.mark.parametrize("shape", ["signalpost", "nextcloud"])  # which has no ttl
@pytest.mark.parametrize(("version", "off"), [("4.6.1", "unknown"), ("4.18.0", "issuer")])
def test_an_issuer_that_is_asked_once(
    own_address: str, version: coturn.Version, off: str, shape: str
) -> None:
    """Without a key nothing can be tried: the Date and the nonce tell, or it is unknown."""
    with (
        coturn.running(own_address, version=version) as server,
        serving(server, ahead=-HOURS) as service,
    ):
        seen = only("clock-skew", check(f"{service.url}/v1/ice-servers?shape={shape}"))
    assert (off, ahead(-HOURS)) == (seen["clockOff"], seen["issuerClock"])
    assert ("it isn't known which clock is wrong" in seen["summary"]) is (off == "unknown")


@versions
@fault("clock-skew", "this machine's clock two hours behind, with the secret")
def test_this_machines_clock(own_address: str, version: coturn.Version, tmp_path: Path) -> None:
    """Who mints here has two clocks to compare, and none that says which is right."""
    with coturn.running(own_address, version=version) as server:
        given = ["--secret-file", secret_file(tmp_path, server.secret), server.uri()]
        seen = only("clock-skew", check(*given, ahead=-HOURS))
    assert "unknown" == seen["clockOff"]
    server_clock = seen["serverClock"]
    assert "ahead of this machine's" in seen["summary"]
    if version == "4.6.1":
        assert server_clock[0] <= HOURS <= server_clock[1]
    else:
        assert ahead(HOURS) == server_clock


def test_a_check_by_a_wrong_clock(own_address: str) -> None:
    """Where server and issuer agree, this machine's clock is no fault of theirs."""
    with coturn.running(own_address) as server, serving(server) as service:
        checked = check("--api-key-file", str(service.api_key_file), service.url, ahead=HOURS)
        assert (0, set()) == (checked.status, checked.codes("fail", "warn"))


# --- the secret --------------------------------------------------------------------------------


@versions
@fault("secret-mismatch", "another secret in the service, with its key")
def test_a_service_with_another_secret(own_address: str, version: coturn.Version) -> None:
    """However long its credentials last, none is taken."""
    with (
        coturn.running(own_address, version=version) as server,
        serving(server, secret=OTHER) as service,
    ):
        seen = only("secret-mismatch", by_key(service))
    assert [ahead(86_400)] == seen["refusedWithLeft"]


def test_the_given_secret_is_the_servers(own_address: str, tmp_path: Path) -> None:
    """Signed with it the same user name is taken: the issuer has another."""
    with coturn.running(own_address) as server:
        wrong = mint([Secret(OTHER)], "lab", now=time.time(), ttl=600)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], wrong)
        given = ["--secret-file", secret_file(tmp_path, server.secret), path]
        assert "ok" == only("secret-mismatch", check(*given))["sameName"]


@versions
def test_another_secret_and_a_credential_that_ended(
    own_address: str, version: coturn.Version, tmp_path: Path
) -> None:
    """Two faults of one credential, told apart by experiment."""
    with coturn.running(own_address, version=version) as server:
        wrong = mint([Secret(OTHER)], "lab", now=time.time() - 1000, ttl=600)
        path = write_ice_servers(tmp_path / "ice.json", [server.uri()], wrong)
        checked = check("--secret-file", secret_file(tmp_path, server.secret), path)
    assert {"secret-mismatch", "credential-expired"} == checked.codes("fail")


def test_another_secret_and_a_wrong_clock(own_address: str) -> None:
    """The nonce shows the one, the service's longest credential the other."""
    with (
        coturn.running(own_address, version="4.18.0") as server,
        serving(server, secret=OTHER, ahead=-HOURS) as service,
    ):
        assert {"secret-mismatch", "clock-skew"} == by_key(service).codes("fail")


@fault("secret-mismatch", "the secret in coturn's database, under another realm")
@versions
def test_a_secret_under_another_realm(
    own_address: str, version: coturn.Version, tmp_path: Path
) -> None:
    """It gets the same 401 as a wrong one; the fix names the realm, and setting it mends it."""
    require("turnadmin")
    secret, lines = "a-secret-of-the-database", ["use-auth-secret"]
    given = ["--secret-file", secret_file(tmp_path, secret)]
    with coturn.running(own_address, version=version, auth=False, lines=lines) as server:

        def store(realm: str) -> None:
            argv = ["turnadmin", "-s", secret, "-r", realm, "-b", str(server.directory / "turndb")]
            subprocess.run(argv, check=True, capture_output=True, timeout=300)

        store("elsewhere.test")
        seen = only("secret-mismatch", check(*given, server.uri()))
        store(coturn.REALM)
        mended = check(*given, server.uri())
    assert "turn_secret.realm must be the same as realm=" in seen["fix"]
    assert (0, set()) == (mended.status, mended.codes("fail"))


# --- the time ----------------------------------------------------------------------------------


@contextlib.contextmanager
def keeping(server: coturn.Server) -> Iterator[str]:
    """A service that keeps an answer too long, and makes a new one for another lifetime."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        ttl = dict(parse_qsl(urlsplit(request.path).query)).get("ttl")
        age = 1000 if ttl is None else 0
        made = mint([Secret(server.secret)], "lab", now=time.time() - age, ttl=int(ttl or 600))
        entry = {"urls": [server.uri()], "username": made.username, "credential": made.password}
        body = json.dumps({"iceServers": [entry], "ttl": made.ttl}).encode()
        web.answering(body, Cache_Control="no-store")(request)

    with web.serving(answer) as url:
        yield url


@versions
@fault("credential-expired", "a service that keeps its answers, with its key")
def test_a_service_that_keeps_its_answers(
    own_address: str, version: coturn.Version, tmp_path: Path
) -> None:
    """What it issues has ended, and what it issues anew is taken; its clock is not blamed."""
    with coturn.running(own_address, version=version) as server, keeping(server) as url:
        seen = only("credential-expired", check("--api-key-file", secret_file(tmp_path, "k"), url))
    assert "expired 40" in seen["summary"]
    assert [ahead(600)] == seen["takenWithLeft"][:1]


# --- the quota ---------------------------------------------------------------------------------


@fault("quota-total", "total-quota=1, with the service's key")
def test_whose_quota_by_the_service(own_address: str) -> None:
    """The service issues for another user, who is refused alike: it is the server's limit."""
    with (
        coturn.running(own_address, lines=["total-quota=1"]) as server,
        serving(server) as service,
    ):
        only("quota-total", by_key(service))
