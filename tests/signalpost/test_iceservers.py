"""URIs, the list of iceServers, and the response shapes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.credentials import Credential, Secret, mint, opaque_user_id
from signalpost.iceservers import (
    MAX_URLS,
    SHAPES,
    IceServer,
    IceServersError,
    IceUri,
    IceUriError,
    Relay,
    build,
    parse_ice_servers,
    parse_uri,
)
from tests.signalpost.cases import CASES
from turnctl.diagnosis import browsers, icelist

CREDENTIAL = Credential("1700000600:u", "secret", 1_700_000_600, 600)
ONE = (Relay("t.example.org", tls=5349),)
PORTS = st.none() | st.integers(1, 65_535)
RELAYS = st.lists(
    st.builds(
        Relay,
        st.sampled_from(["a.example.org", "192.0.2.1", "2001:db8::1"]),
        PORTS,
        PORTS,
        PORTS,
        st.sampled_from([None, "eu", "us"]),
    ),
    max_size=4,
)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        # RFC 7064, appendix A
        ("stun:example.org", IceUri("stun", "example.org", 3478, "udp")),
        ("stuns:example.org", IceUri("stuns", "example.org", 5349, "tcp")),
        ("stun:example.org:8000", IceUri("stun", "example.org", 8000, "udp")),
        ("stuns:example.org:8000", IceUri("stuns", "example.org", 8000, "tcp")),
        # RFC 7065, appendix A
        ("turn:example.org", IceUri("turn", "example.org", 3478, "udp")),
        ("turns:example.org", IceUri("turns", "example.org", 5349, "tcp")),
        ("turn:example.org:8000", IceUri("turn", "example.org", 8000, "udp")),
        ("turns:example.org:8000", IceUri("turns", "example.org", 8000, "tcp")),
        ("turn:example.org?transport=udp", IceUri("turn", "example.org", 3478, "udp")),
        ("turn:example.org?transport=tcp", IceUri("turn", "example.org", 3478, "tcp")),
        ("turns:example.org?transport=tcp", IceUri("turns", "example.org", 5349, "tcp")),
        # addresses
        ("stun:192.0.2.1", IceUri("stun", "192.0.2.1", 3478, "udp")),
        ("turn:[2001:db8::1]", IceUri("turn", "2001:db8::1", 3478, "udp")),
        ("turn:stun:80", IceUri("turn", "stun", 80, "udp")),
        ("turn:[2001:db8::1]:80?transport=tcp", IceUri("turn", "2001:db8::1", 80, "tcp")),
        ("TURN:Example.org?transport=TCP", IceUri("turn", "Example.org", 3478, "tcp")),
    ],
)
def test_parse_uri(text: str, uri: IceUri) -> None:
    """The RFCs' examples and address literals are read, and written they read the same."""
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin"),
        ("example.org", "must begin"),
        ("http://example.org", "must begin"),
        ("turn:", "no host"),
        ("turn://example.org", "has // after the scheme"),
        ("turn:user@example.org", "user before @"),
        ("turn:example.org/path", "path or fragment"),
        ("turn:example.org#x", "path or fragment"),
        ("turn:example.org:0", "port '0'"),
        ("turn:example.org:65536", "port '65536'"),
        ("turn:example.org:", "port ''"),
        ("turn:example.org:+80", "port '+80'"),
        ("turn:example.org:٣", "port '٣'"),
        ("turn:example.org?transport=sctp", "only ?transport=udp"),
        ("turn:example.org?foo=bar", "only ?transport=udp"),
        ("stun:example.org?transport=udp", "RFC 7064 does not allow"),
        ("turn:2001:db8::1", "brackets"),
        ("turn:[2001:db8::1", "unfinished"),
        ("turn:[2001:db8::1]x", "unfinished"),
        ("turn:[192.0.2.1]", "not an IPv6 address"),
        ("turn:[fe80::1%25eth0]", "zone"),
        ("turn:999.1.1.1", "not an IPv4 address"),
        ("turn:exa mple.org", "not a host name"),
        ("turn:-x.example.org", "not a host name"),
        ("turn:" + "a" * 254, "not a host name"),
        ("turn:x.example:3478:3478", "two ports; write one, as in x.example:3478"),
        ("turn:192.0.2.1:3478:3478?transport=tcp", "two ports"),
        ("stun:stun:x.example", "two schemes; write stun:x.example"),
        ("turn:x?transport=tls", "for TLS write turns:x"),
        ("turn:x:3478&transport=udp", "& where ? belongs"),
        ("turn:x,turn:y", "several URLs"),
        ("turn:<HOST>:3478", "'<HOST>': a template or variable"),
        ("turn:${HOST}", "not filled in"),
        ("turn:t\u00fcrn.example", "write xn--trn-hoa.example"),
    ],
)
def test_malformed_uri(text: str, reason: str) -> None:
    """A malformed URI is refused with its reason."""
    with pytest.raises(IceUriError) as refused:
        parse_uri(text)
    assert reason in str(refused.value)
    assert refused.value.uri == text


@settings(max_examples=CASES, deadline=None)
@given(text=st.text() | st.text(st.sampled_from("turnsd:[]@/?=.0129-%")).map(lambda s: f"turn:{s}"))
def test_parse_uri_never_crashes(text: str) -> None:
    """Any text is a URI that writes back to itself, or an IceUriError."""
    try:
        uri = parse_uri(text)
    except IceUriError:
        return
    assert parse_uri(str(uri)) == uri


def test_build_one_relay() -> None:
    """One relay gives UDP, TLS and TCP under the credential, and STUN in the place left."""
    urls = ("turn:t.example.org:3478?transport=udp", "turns:t.example.org:5349?transport=tcp")
    turn = IceServer((*urls, "turn:t.example.org:3478?transport=tcp"), "1700000600:u", "secret")
    assert build(ONE, CREDENTIAL) == (IceServer(("stun:t.example.org:3478",)), turn)


def test_build_prefers_the_region() -> None:
    """Relays of the region asked for come first; an unknown region changes nothing."""
    relays = (Relay("a", region="us"), Relay("b", region="eu"))
    assert build(relays, CREDENTIAL, region="eu")[0].urls[0].startswith("turn:b:")
    assert build(relays, CREDENTIAL, region="mars") == build(relays, CREDENTIAL)


def test_build_ipv6() -> None:
    """An IPv6 relay's URLs carry brackets."""
    assert build((Relay("2001:db8::1", tcp=None),), CREDENTIAL)[0].urls == (
        "stun:[2001:db8::1]:3478",
    )


@given(relays=RELAYS)
def test_never_more_than_four_urls(relays: list[Relay]) -> None:
    """With any configuration at most four URLs go out, and each is a valid URI."""
    urls = [url for server in build(relays, CREDENTIAL) for url in server.urls]
    assert len(urls) <= MAX_URLS
    assert all(parse_uri(url) for url in urls)


@given(relays=RELAYS, user=st.text(st.characters(min_codepoint=97, max_codepoint=122)))
def test_no_browser_throws_at_what_is_handed_out(relays: list[Relay], user: str) -> None:
    """With any configuration and any caller no member is wrong, and no URL is disputed."""
    secret = Secret("a-secret-of-the-test-0123")
    credential = mint([secret], opaque_user_id(secret, user), now=1_700_000_000, ttl=600)
    servers = build(relays, credential)
    read = icelist.read(SHAPES["signalpost"](servers, credential))
    assert (servers, ()) == (read.servers, read.faults)
    assert all(browsers.read(url)[1] is None for url in read.places)


@pytest.mark.parametrize("shape", SHAPES)
@given(relays=RELAYS)
def test_every_shape_reads_back(shape: str, relays: list[Relay]) -> None:
    """Every shape can be read back: the same TURN URLs with the same credential."""
    servers = build(relays, CREDENTIAL)
    document = json.loads(json.dumps(SHAPES[shape](servers, CREDENTIAL)))
    turn = {(url, s.username, s.credential) for s in servers if s.username for url in s.urls}
    if shape in {"draft", "matrix"} and not turn:
        return  # these have no way to say that there is nothing
    read = parse_ice_servers(document)
    assert {(u, s.username, s.credential) for s in read if s.username for u in s.urls} == turn


UDP, TLS, TCP = build(ONE, CREDENTIAL)[1].urls
STUN = "stun:t.example.org:3478"
NAMED = {"username": "1700000600:u", "credential": "secret"}


@pytest.mark.parametrize(
    ("shape", "document"),
    [
        (
            "signalpost",
            {
                "iceServers": [{"urls": [STUN]}, {"urls": [UDP, TLS, TCP], **NAMED}],
                "ttl": 600,
                "expires": 1_700_000_600,
            },
        ),
        (
            "draft",
            {
                "username": "1700000600:u",
                "password": "secret",
                "ttl": 600,
                "uris": [UDP, TLS, TCP],
            },
        ),
        ("cloudflare", {"iceServers": [{"urls": [STUN]}, {"urls": [UDP, TLS, TCP], **NAMED}]}),
        (
            "nextcloud",
            {
                "stunservers": [{"urls": [STUN]}],
                "turnservers": [{"urls": [UDP, TLS, TCP], **NAMED}],
            },
        ),
    ],
)
def test_shapes(shape: str, document: dict[str, object]) -> None:
    """Each shape is exactly what its readers expect."""
    assert SHAPES[shape](build(ONE, CREDENTIAL), CREDENTIAL) == document


def test_matrix_is_the_draft() -> None:
    """Matrix reads the same four members as the draft."""
    servers = build(ONE, CREDENTIAL)
    assert SHAPES["matrix"](servers, CREDENTIAL) == SHAPES["draft"](servers, CREDENTIAL)


def test_twilio() -> None:
    """Twilio's ttl is text, and each URL is an entry with both `url` and `urls`."""
    document = SHAPES["twilio"](build(ONE, CREDENTIAL), CREDENTIAL)
    assert document["ttl"] == "600"
    assert document["ice_servers"] == [
        {"url": STUN, "urls": STUN},
        *({"url": url, "urls": url, **NAMED} for url in (UDP, TLS, TCP)),
    ]
    assert {"account_sid", "username", "password"} < set(document)
    issued = "Tue, 14 Nov 2023 22:13:20 +0000"
    assert (issued, issued) == (document["date_created"], document["date_updated"])


@pytest.mark.parametrize(
    "document",
    [
        None,
        42,
        "turn:x",
        {},
        {"iceServers": [1]},
        {"iceServers": [{}]},
        {"iceServers": [{"urls": "turn:x", "username": "a", "credential": "\ud800"}]},
        {"iceServers": [{"urls": ["turn:\udfff"]}]},
        {"iceServers": [{"urls": []}]},
        {"iceServers": [{"urls": [1]}]},
        {"iceServers": [{"urls": "turn:x", "username": 1}]},
        {"uris": []},
        [[]],
    ],
)
def test_not_ice_servers(document: object) -> None:
    """Anything else is refused with an error that says where."""
    with pytest.raises(IceServersError):
        parse_ice_servers(document)


def test_bare_list_and_single_entry() -> None:
    """A bare list and a single entry are read, old `url` included."""
    expected = (IceServer(("turn:x",), "u", "p"),)
    entry = {"url": "turn:x", "username": "u", "credential": "p"}
    assert parse_ice_servers([entry]) == expected
    assert parse_ice_servers(entry) == expected
    assert parse_ice_servers({"iceServers": entry}) == expected
