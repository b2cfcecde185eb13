"""HAProxy in front of coturn, and other things that answer at a TURN port."""

from __future__ import annotations

from tests.referee.configuration import rest

__all__ = ["CONFIGURATIONS"]

PLAIN = ("turn:203.0.113.1:{front}?transport=tcp",)
SECURE = ("turns:turn.lab.test:{front}?transport=tcp",)
INNER = ("listening-ip=127.0.0.1", "relay-ip=203.0.113.1", "tcp-proxy-port={inner}")
SAME = ("tcp-proxy-port={inner}",)

CONFIGURATIONS = (
    rest("proxy-v2", *INNER, front="proxy-v2", urls=PLAIN),
    rest("proxy-v2-same-address", *SAME, front="proxy-v2", urls=PLAIN),
    rest("proxy-v1", *INNER, front="proxy-v1", urls=PLAIN),
    rest("proxy-port-without-header", *SAME, urls=("turn:203.0.113.1:{inner}?transport=tcp",)),
    rest(
        "proxy-none-loopback",
        "listening-ip=127.0.0.1",
        "relay-ip=203.0.113.1",
        front="no-proxy",
        urls=PLAIN,
    ),
    rest("proxy-none-same-address", front="no-proxy", urls=PLAIN),
    rest(
        "proxy-v2-to-plain-port",
        "listening-ip=127.0.0.1",
        "relay-ip=203.0.113.1",
        front="proxy-v2-to-plain",
        urls=PLAIN,
    ),
    rest(
        "proxy-v2-relay-ip-missing",
        "listening-ip=127.0.0.1",
        "tcp-proxy-port={inner}",
        front="proxy-v2",
        urls=PLAIN,
    ),
    rest("edge-proxy-v2", *INNER, front="tls-proxy-v2", urls=SECURE),
    rest(
        "edge-no-proxy",
        "listening-ip=127.0.0.1",
        "relay-ip=203.0.113.1",
        front="tls-no-proxy",
        urls=SECURE,
    ),
    rest("edge-no-proxy-same-address", front="tls-no-proxy", urls=SECURE),
    rest("edge-untrusted", *INNER, front="tls-proxy-v2-untrusted", urls=SECURE),
    rest("edge-alpn-http", *INNER, front="tls-alpn-http", urls=SECURE),
    rest("edge-asked-in-plain", *INNER, front="tls-proxy-v2", urls=PLAIN),
    rest("plain-front-asked-in-tls", *INNER, front="proxy-v2", urls=SECURE),
    rest("edge-http-mode", *INNER, front="http-mode", urls=SECURE),
    rest(
        "web-server", running=False, front="http-server", urls=(*PLAIN, "turn:203.0.113.1:{front}")
    ),
    rest("web-server-tls", running=False, front="tls-http-server", urls=SECURE),
    rest("closes-at-once", running=False, front="accepts-and-closes", urls=(*PLAIN, *SECURE)),
    rest("takes-and-is-silent", running=False, front="silent", urls=(*PLAIN, *SECURE)),
)
