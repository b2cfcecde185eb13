"""Where a server listens: addresses, ports, transports, and what drops packets on the way."""

from __future__ import annotations

from tests.referee.configuration import STUN, TCP, TLS, UDP, rest

__all__ = ["CONFIGURATIONS"]

SIX = ("turn:[2001:db8::1]:{port}?transport=udp", "turn:[2001:db8::1]:{port}?transport=tcp")
DUAL = ("turn:dual.lab.test:{port}?transport=udp", "turn:dual.lab.test:{port}?transport=tcp")
OTHER = ("turn:203.0.113.2:{port}?transport=udp", "turn:203.0.113.2:{port}?transport=tcp")
BLOCKED = (53, 81, 500, 993, 1719, 5060, 6000, 6667, 10080)
"""Ports that browsers do not connect to: below 1024, or on Fetch's list."""


def _drop(match: str, hook: str = "input") -> str:
    return (
        f"table inet referee {{ chain {hook} {{ type filter hook {hook} priority filter;\n"
        f" {match}\n}}\n}}\n"
    )


CONFIGURATIONS = (
    rest("no-udp", "no-udp", urls=(UDP, TCP, STUN)),
    rest("no-tcp", "no-tcp"),
    rest("no-udp-no-tcp", "no-udp", "no-tcp"),
    rest("no-udp-no-tcp-tls", "no-udp", "no-tcp", certificate="good", urls=(UDP, TCP, TLS)),
    rest("no-tls", "no-tls", certificate="good", urls=(TLS, UDP)),
    rest("no-dtls-no-tls", "no-dtls", "no-tls"),
    rest("nothing-listens", running=False, urls=(UDP, TCP, STUN, TLS)),
    rest(
        "default-listeners",
        without=["listening-ip"],
        urls=(UDP, TCP, *OTHER, *SIX, STUN, "stun:203.0.113.2:{port}"),
    ),
    rest("wildcard", "listening-ip=0.0.0.0", urls=(UDP, TCP, *OTHER, *SIX)),
    rest("wildcard-6", "listening-ip=::", urls=(UDP, TCP, *OTHER, *SIX)),
    rest(
        "two-listening-ips",
        "listening-ip=203.0.113.1",
        "listening-ip=203.0.113.2",
        urls=(UDP, TCP, *OTHER, STUN),
    ),
    rest("listening-ip-of-nobody", "listening-ip=198.51.100.20"),
    rest("listening-ip-garbage", "listening-ip=turnserver"),
    rest("listening-ip-loopback", "listening-ip=127.0.0.1"),
    rest("listening-on-the-other", "listening-ip=203.0.113.2", urls=(UDP, *OTHER)),
    rest("listening-ip6", "listening-ip=2001:db8::1", urls=(*SIX, *DUAL, UDP)),
    rest(
        "listening-ip6-keep",
        "listening-ip=2001:db8::1",
        "allocation-default-address-family=keep",
        urls=SIX,
    ),
    rest(
        "listening-ip6-default-six",
        "listening-ip=2001:db8::1",
        "allocation-default-address-family=ipv6",
        urls=(*SIX, "turn:six.lab.test:{port}?transport=udp"),
    ),
    rest(
        "listening-on-both-families",
        "listening-ip=203.0.113.1",
        "listening-ip=2001:db8::1",
        urls=(*SIX, *DUAL),
    ),
    rest(
        "aaaa-without-listener",
        urls=(*DUAL, "turn:gone.lab.test:{port}?transport=udp"),
    ),
    rest(
        "name-without-address",
        urls=("turn:absent.lab.test:{port}?transport=udp", "stun:absent.lab.test:{port}"),
    ),
    rest("aux-server", "aux-server=203.0.113.1:{port2}", urls=(UDP, "turn:203.0.113.1:{port2}")),
    rest("alt-listening-port", "alt-listening-port={port2}"),
    rest("no-rfc5780", "no-rfc5780", versions=("4.6.1",)),
    rest(
        "rfc5780",
        "rfc5780",
        "listening-ip=203.0.113.1",
        "listening-ip=203.0.113.2",
        versions=("4.18.0",),
    ),
    rest("no-stun", "no-stun", urls=(UDP, TCP, STUN)),
    rest("secure-stun", "secure-stun", urls=(UDP, TCP, STUN)),
    rest(
        "no-stun-backward-compatibility",
        "no-stun-backward-compatibility",
        versions=("4.6.1",),
        urls=(UDP, STUN),
    ),
    rest("udp-self-balance", "udp-self-balance", "aux-server=203.0.113.1:{port2}"),
    rest("single-threaded", "relay-threads=0"),
    rest("many-threads", "relay-threads=16"),
    rest(
        "sixteen-bit-port",
        "listening-port=65535",
        urls=("turn:203.0.113.1:65535",),
        versions=("4.18.0",),
    ),
    rest("another-port-in-the-url", urls=("turn:203.0.113.1:{port2}",)),
    rest(
        "default-port",
        "listening-port=3478",
        urls=("turn:203.0.113.1", "turn:turn.lab.test", "stun:203.0.113.1", "turn:203.0.113.1:"),
        versions=("4.18.0",),
    ),
    *(
        rest(
            f"port-{port}",
            f"listening-port={port}",
            urls=(
                f"turn:203.0.113.1:{port}?transport=udp",
                f"turn:203.0.113.1:{port}?transport=tcp",
                f"stun:203.0.113.1:{port}",
            ),
            versions=("4.18.0",),
        )
        for port in (80, 443, *BLOCKED)
    ),
    rest(
        "tls-port-853",
        "tls-listening-port=853",
        certificate="good",
        urls=("turns:turn.lab.test:853",),
        versions=("4.18.0",),
    ),
    rest(
        "tls-port-443",
        "tls-listening-port=443",
        certificate="good",
        urls=("turns:turn.lab.test:443", "turns:turn.lab.test:443?transport=tcp"),
        versions=("4.18.0",),
    ),
    rest(
        "url-forms",
        certificate="good",
        urls=(
            "turn:203.0.113.1:{port}",
            "turn:turn.lab.test:{port}",
            "TURN:turn.lab.test:{port}",
            "turn:turn.lab.test:{port}?transport=UDP",
            "turn:turn.lab.test.:{port}",
            "turn:turn.lab.test:{port}?transport=tls",
            "turn:turn.lab.test:{port}?transport=",
            "turn:turn.lab.test:{port}?",
            "turn:turn.lab.test:{port}?protocol=tcp",
            "turn:turn.lab.test:{port}?transport=tcp&x=1",
            "turn:turn.lab.test:{port}/",
            "turn:turn.lab.test:{port}#x",
            "turn://turn.lab.test:{port}",
            "turn:alice@turn.lab.test:{port}",
            "turn:turn.lab.test:0",
            "turn:turn.lab.test:65536",
            "turn:turn.lab.test:port",
            "turn:turn.lab.test:{port} ",
            " turn:turn.lab.test:{port}",
            "turn: turn.lab.test:{port}",
            "turn:turn_lab.test:{port}",
            "turn:2001:db8::1:{port}",
            "turn:[203.0.113.1]:{port}",
            "turn:203.0.113.1:0{port}",
            "turn:",
            "turn:203.0.113.001:{port}",
            "turn:3405803777:{port}",
            "stun:turn.lab.test:{port}",
            "stun:turn.lab.test:{port}?transport=udp",
            "stun:turn.lab.test:{port}?transport=tcp",
            "STUN:turn.lab.test:{port}",
            "stuns:turn.lab.test:{tls}",
            "turns:turn.lab.test:{tls}",
            "turns:TURN.lab.test:{tls}?transport=tcp",
            "turns:turn.lab.test.:{tls}",
            "turns:turn.lab.test:{tls}?transport=udp",
            "turns:turn.lab.test:{port}?transport=tcp",
            "turn:turn.lab.test:{tls}?transport=tcp",
            "turn:turn.lab.test:{tls}?transport=udp",
        ),
        versions=("4.18.0",),
    ),
    # What a firewall on the server's host does.
    rest("udp-dropped", rules=_drop("udp dport {port} drop"), urls=(UDP, TCP, STUN)),
    rest("tcp-dropped", rules=_drop("tcp dport {port} drop")),
    rest("tcp-rejected", rules=_drop("tcp dport {port} reject with tcp reset")),
    rest("all-dropped", rules=_drop("meta l4proto { tcp, udp } th dport {port} drop")),
    rest(
        "tls-port-dropped", rules=_drop("tcp dport {tls} drop"), certificate="good", urls=(TLS, UDP)
    ),
    rest("relay-range-dropped", rules=_drop("udp dport {low}-{high} drop")),
    rest("replies-ttl-one", rules=_drop("udp sport {port} ip ttl set 1", "output")),
    rest(
        "replies-ttl-one-after-401",
        rules=_drop("udp sport {port} @th,64,16 != 0x0113 ip ttl set 1", "output"),
        urls=(UDP, TCP, STUN),
    ),
    rest("relayed-ttl-one", rules=_drop("udp sport {low}-{high} ip ttl set 1", "output")),
)
