"""The questions of a rotation: to a service that says what the test says, and to a real coturn."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, web
from turnctl.rotation.confirm import (
    Acceptance,
    RelayAnswer,
    ServiceClient,
    ServiceError,
    join_token,
    try_secret,
)
from turnctl.rotation.keyring import ConfiguredRelay

SECRET, OTHER = Secret("0123456789abcdef0123456789abcdef"), Secret("fedcba9876543210fedcba98")
NOBODY = "http://127.0.0.1:9"


def relay(address: str, port: int) -> ConfiguredRelay:
    return ConfiguredRelay(
        "coturn", Path("coturn"), "signalpost", address, port, False, frozenset({address})
    )


def ice_servers() -> bytes:
    made = mint([SECRET], "somebody", now=time.time(), ttl=60)
    server = {"urls": "turn:192.0.2.1", "username": made.username, "credential": made.password}
    return json.dumps({"iceServers": [server], "ttl": 60}).encode()


def test_a_credential_shows_its_secret() -> None:
    """Whichever of several it was made with."""
    with web.serving(web.answering(ice_servers())) as url:
        minted = ServiceClient(url).mint("key")
    assert (True, False) == (minted.made_with([OTHER, SECRET]), minted.made_with([OTHER]))
    assert ("somebody", 60, ("turn:192.0.2.1",)) == (minted.user, minted.ttl, minted.urls)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"detail": "the key is unknown"}', 401, "answers 401: the key is unknown"),
        (b"<html>", 502, "answers 502: no reason"),
        (b"It works!", 200, "isn't Signalpost"),
        (b'{"iceServers": [], "ttl": 60}', 200, "hands out no TURN server"),
    ],
)
def test_an_answer_without_a_credential(body: bytes, status: int, said: str) -> None:
    """The address and the reason are named, and the status is kept."""
    with web.serving(web.answering(body, status)) as url:
        with pytest.raises(ServiceError, match=said) as caught:
            ServiceClient(url).mint("key")
        assert url in str(caught.value)
    assert status == caught.value.status


def test_nothing_answers() -> None:
    """A service that may be stopped isn't waited for."""
    client = ServiceClient(NOBODY)
    with pytest.raises(ServiceError, match="doesn't answer") as caught:
        client.wait_for(lambda: bool(client.mint("key")), patience=3600, must_answer=False)
    assert caught.value.status is None


def test_a_condition_that_comes_true() -> None:
    """Also after an answer that was none."""
    answers: Iterator[bool | ServiceError] = iter([False, ServiceError("starting", 503), True])

    def condition() -> bool:
        answer = next(answers)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    assert ServiceClient(NOBODY).wait_for(condition, patience=60, must_answer=True)


def test_a_condition_that_never_holds() -> None:
    """When the time is over, it is asked no more."""
    assert not ServiceClient(NOBODY).wait_for(lambda: False, patience=-1, must_answer=True)


def test_a_join_token_is_the_services() -> None:
    """Three parts, and another key signs another one."""
    made = join_token(SECRET, 1_000_000)
    assert 2 == made.count(".")
    assert made != join_token(OTHER, 1_000_000)


def test_what_a_relay_does_with_a_secret(own_address: str) -> None:
    """It accepts its own and rejects another one; a relay that is stopped does neither."""
    with coturn.running(own_address, secret=SECRET.reveal()) as server:
        here = relay(server.host, server.port)
        (own,) = try_secret([here], SECRET, enough=bool, patience=0)
        (other,) = try_secret([here], OTHER, enough=bool, patience=0)
    (stopped,) = try_secret([here], SECRET, enough=bool, patience=0)
    assert [Acceptance.ACCEPTED, Acceptance.REJECTED, Acceptance.UNKNOWN] == [
        one.acceptance for one in (own, other, stopped)
    ]
    assert own.detail.startswith(f"relayed address {own_address} port ")


@pytest.mark.parametrize(("code", "drains"), [(403, True), (401, False), (None, False)])
def test_a_draining_relay(code: int | None, drains: bool) -> None:
    """coturn answers 403 to a credential that it has accepted, and lets nobody in."""
    answer = RelayAnswer(relay("192.0.2.1", 3478), Acceptance.UNKNOWN, "", code)
    assert drains == answer.drains
