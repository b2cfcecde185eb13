"""Answers of services as the check reads them: which list they hold, and what an app takes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.iceservers import IceServer, IceServersError, parse_ice_servers
from tests.signalpost.cases import CASES
from turnctl.diagnosis import icelist

STUN, UDP, TCP = "stun:a.example", "turn:a.example", "turn:a.example?transport=tcp"
LOGIN = {"username": "alice", "credential": "correct-horse"}
DRAFT = {"username": "alice", "password": "correct-horse", "ttl": 86400, "uris": [UDP, TCP]}
ENTRY = {"urls": [UDP, TCP], **LOGIN}
TURN = IceServer((UDP, TCP), "alice", "correct-horse")
ONLY_STUN = IceServer((STUN,))

ANSWERS: dict[str, tuple[object, tuple[IceServer, ...], str | None]] = {
    "RTCConfiguration": ({"iceServers": [{"urls": STUN}, ENTRY]}, (ONLY_STUN, TURN), None),
    "a list": ([{"urls": STUN}, ENTRY], (ONLY_STUN, TURN), None),
    "Google": (
        {"lifetimeDuration": "86400s", "iceServers": [{"urls": [STUN]}, ENTRY]},
        (ONLY_STUN, TURN),
        None,
    ),
    "Cloudflare": ({"iceServers": [{"urls": [STUN]}, ENTRY]}, (ONLY_STUN, TURN), None),
    "Xirsys": ({"v": {"iceServers": ENTRY}, "s": "ok"}, (TURN,), "[answer.v.iceServers]"),
    "Xirsys, a list": ({"v": {"iceServers": [ENTRY]}, "s": "ok"}, (TURN,), "answer.v.iceServers"),
    "Xirsys of old": (
        {"p": "/", "s": 200, "d": {"iceServers": [{"url": STUN}, {"url": UDP, **LOGIN}]}},
        (ONLY_STUN, IceServer((UDP,), "alice", "correct-horse")),
        "answer.d.iceServers",
    ),
    "Twilio": (
        {"ice_servers": [{"url": STUN, "urls": STUN}, ENTRY], "password": "x", "username": "y"},
        (ONLY_STUN, TURN),
        "answer.ice_servers",
    ),
    "Nextcloud": (
        {"stunservers": [{"urls": [STUN]}], "turnservers": [ENTRY]},
        (ONLY_STUN, TURN),
        "[...answer.stunservers, ...answer.turnservers]",
    ),
    "Nextcloud's OCS": (
        {"ocs": {"meta": {}, "data": {"turnservers": [ENTRY], "stunservers": None}}},
        (TURN,),
        "...answer.ocs.data.turnservers",
    ),
    "the draft, Matrix": (DRAFT, (TURN,), "urls: answer.uris"),
    "the draft, wrapped": ({"data": DRAFT}, (TURN,), "urls: answer.data.uris"),
    "one entry": (ENTRY, (TURN,), "[answer]"),
    "one entry, wrapped": ({"result": {"turn": ENTRY}}, (TURN,), "[answer.result.turn]"),
    "PeerJS": ({"config": {"iceServers": [ENTRY]}}, (TURN,), "answer.config.iceServers"),
    "AWS": (
        {
            "IceServerList": [
                {"Uris": [UDP, TCP], "Username": "alice", "Password": "correct-horse", "Ttl": 300}
            ]
        },
        (TURN,),
        "answer.IceServerList",
    ),
}
"""Who answers → the answer, the servers in it, and what an app has to take."""


@pytest.mark.parametrize(("answer", "servers", "take"), ANSWERS.values(), ids=ANSWERS)
def test_answers(answer: object, servers: tuple[IceServer, ...], take: str | None) -> None:
    """The list is read where the service has it, and nothing in it is called wrong."""
    read = icelist.read(answer)
    assert servers == read.servers
    assert {one.kind for one in read.faults} <= {"wrapped", "wrapped-object"}
    assert (take is None) is (not read.faults)
    assert take is None or take in read.faults[0].detail


@pytest.mark.parametrize(
    "document",
    [None, 42, "turn:x", {}, {"v": "path_missing", "s": "error"}, {"error": {"iceServers": "no"}}],
)
def test_no_list_anywhere(document: object) -> None:
    """Errors of services hold no list."""
    with pytest.raises(IceServersError):
        icelist.read(document)


def test_a_fault_hides_nothing_beside_it() -> None:
    """A right entry is read beside any faulty one, and each URL has its place."""
    read = icelist.read({"iceServers": ["x", None, {"urls": []}, {}, ENTRY, {"urls": STUN}]})
    assert (TURN, ONLY_STUN) == read.servers
    assert [f"iceServers[{n}]" for n in (0, 1)] == [one.where for one in read.faults[:2]]
    assert {
        UDP: "iceServers[4].urls[0]",
        TCP: "iceServers[4].urls[1]",
        STUN: "iceServers[5].urls",
    } == dict(read.places)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just(UDP),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["iceServers", "urls", "url", "username", "credential", "uris", "v", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=CASES, deadline=None)
@given(document=JSON)
def test_any_json_is_read_or_refused(document: Any) -> None:
    """No JSON value breaks the reader, and it reads the same as the client does."""
    try:
        read = icelist.read(document)
    except IceServersError:
        return
    assert all(isinstance(one, IceServer) for one in read.servers)
    assert {url for one in read.servers for url in one.urls} <= {*read.places}
    try:
        strict = parse_ice_servers(document)
    except IceServersError:
        return
    if not read.faults:
        assert [one.urls for one in strict] == [one.urls for one in read.servers]
