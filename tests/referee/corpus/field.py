"""Configurations as people have them, with what is healthy and what is wrong in them."""

from __future__ import annotations

from tests.referee.configuration import SECRET, STUN, TCP, TLS, UDP, Configuration, rest, static

__all__ = ["CONFIGURATIONS"]

_SECRET = f"static-auth-secret={SECRET}"
BEHIND = ("turn:203.0.113.11:{port}?transport=udp", "turn:203.0.113.11:{port}?transport=tcp")
"""The address of the router that a server stands behind."""

CONFIGURATIONS = (
    rest("rest", urls=(UDP, TCP, STUN)),
    static("static-user", urls=(UDP, TCP, STUN)),
    rest("realm-missing-secret", without=["realm"]),
    static("realm-missing-ltcred", without=["realm"]),
    rest("realm-empty", "realm="),
    rest("realm-quotes-alone", 'realm=""'),
    Configuration(
        "quoted-values",
        (
            "listening-port={port}",
            'listening-ip="203.0.113.1"',
            'min-port="{low}"',
            'max-port="{high}"',
            'realm="turn.example.org"',
            "fingerprint",
            "use-auth-secret",
            f'static-auth-secret="{SECRET}"',
            'denied-peer-ip="10.0.0.0-10.255.255.255"',
        ),
    ),
    Configuration(
        "trailing-blanks",
        (
            "listening-port={port}   ",
            "listening-ip=203.0.113.1  ",
            "min-port={low}\t",
            "max-port={high} ",
            "realm=turn.example.org  ",
            "use-auth-secret",
            _SECRET + "  ",
            "denied-peer-ip=10.0.0.0-10.255.255.255  ",
            "no-multicast-peers ",
        ),
    ),
    rest("verbose-ten", "verbose=10"),
    rest("secret-and-ltcred", "lt-cred-mech"),
    rest("external-ip-hostname", "external-ip=turn.example.org"),
    static("external-ip-colon", "external-ip=203.0.113.10:10.7.0.2"),
    static(
        "typed-options",
        "listen-ip=203.0.113.1",
        "external-port=3478",
        "allowed-peer=203.0.113.9",
        "TURNSERVER_ENABLED=1",
        without=["listening-ip"],
    ),
    static(
        "relay-ip-docker-bridges",
        "relay-ip=203.0.113.1",
        "relay-ip=172.17.0.1",
        "relay-ip=192.168.176.1",
        "external-ip=203.0.113.1",
        without=["min-port", "max-port"],
        # Of three addresses, which allocations get by turns, two are not the host's.
        by_chance=True,
    ),
    static("relay-ip-not-own", "relay-ip=198.51.100.7", "external-ip=198.51.100.7"),
    static(
        "reply-from-other-address",
        "listening-ip=0.0.0.0",
        "relay-ip=203.0.113.2",
        "external-ip=203.0.113.2",
        urls=(
            "turn:203.0.113.2:{port}?transport=udp",
            "turn:203.0.113.2:{port}?transport=tcp",
            UDP,
        ),
    ),
    static("stun-only", "stun-only", urls=(UDP, TCP, STUN)),
    rest(
        "tls-certificate-unreadable",
        "cert={directory}/absent/fullchain.pem",
        "pkey={directory}/absent/privkey.pem",
        certificate="good",
        urls=(TLS, UDP),
    ),
    rest(
        "tls-key-for-root-alone",
        "proc-user=turnserver",
        "proc-group=turnserver",
        certificate="good",
        urls=(TLS, UDP),
    ),
    rest("tls-without-certificate", "tls-listening-port={tls}", urls=(TLS, UDP)),
    rest(
        "tls12-off",
        "no-tlsv1",
        "no-tlsv1_1",
        "no-tlsv1_2",
        certificate="good",
    ),
    static(
        "proxy-on-the-same-host",
        "listening-ip=127.0.0.1",
        "relay-ip=203.0.113.1",
        front="no-proxy",
        urls=("turn:203.0.113.1:{front}?transport=tcp",),
    ),
    # Servers behind a router.
    rest(
        "external-ip-reversed",
        "listening-ip=10.100.0.2",
        "relay-ip=10.100.0.2",
        "external-ip=10.100.0.2/203.0.113.11",
        place="behind-router",
        urls=BEHIND,
    ),
    static(
        "listening-on-public-behind-nat",
        "listening-ip=203.0.113.11",
        "relay-ip=10.100.0.2",
        "external-ip=203.0.113.11/10.100.0.2",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-only-listener-forwarded",
        "listening-ip=10.100.0.2",
        "external-ip=203.0.113.11/10.100.0.2",
        # Outside of what the router forwards.
        "min-port=61000",
        "max-port=61100",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-all-forwarded",
        "listening-ip=10.100.0.2",
        "external-ip=203.0.113.11/10.100.0.2",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-external-ip-left-out",
        "listening-ip=10.100.0.2",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-external-ip-alone",
        "listening-ip=10.100.0.2",
        "external-ip=203.0.113.11",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-external-ip-alone-private-denied",
        "listening-ip=10.100.0.2",
        "external-ip=203.0.113.11",
        "denied-peer-ip=10.0.0.0-10.255.255.255",
        place="behind-router",
        urls=BEHIND,
    ),
    rest(
        "nat-pair-private-denied",
        "listening-ip=10.100.0.2",
        "external-ip=203.0.113.11/10.100.0.2",
        "denied-peer-ip=10.0.0.0-10.255.255.255",
        place="behind-router",
        urls=BEHIND,
    ),
)
