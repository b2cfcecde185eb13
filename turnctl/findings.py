"""Findings: what follows from what was seen, with its cause and its cure.

Owns the catalogue of codes. A code is one cause with one fix, and stays what it is once released:
scripts depend on it. `docs/findings.md` has a section for each; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from turnctl.observations import Family

__all__ = ["FIXES", "Finding", "Severity", "finding"]


class Severity(StrEnum):
    """FAIL: attributable to the server or its configuration. WARN: calls work, or the cause may
    lie with the client's own network. INFO: worth knowing.
    """

    FAIL = "fail"
    WARN = "warn"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """`evidence` holds plain JSON values: what was seen, where and when."""

    code: str
    severity: Severity
    url: str
    summary: str
    fix: str
    family: Family | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


FIXES: Mapping[str, str] = {
    # --- where the iceServers come from
    "issuer-unreachable": "Start the service, or correct the URL; see that its port is open.",
    "issuer-refused": (
        "Give --api-key-file FILE with a key of that service (signalpost: the file `api-key` in "
        "its data directory), or admit guests there (auth.guests)."
    ),
    "issuer-bad-response": (
        "Give the URL that returns iceServers as JSON, each turn: or turns: entry with username "
        "and credential."
    ),
    "url-malformed": "Write it as RFC 7064/7065 have it: turn:HOST:PORT?transport=udp|tcp.",
    "turns-over-udp": (
        "Drop this URL or write ?transport=tcp: browsers take it for TLS over TCP, others for "
        "DTLS, and few servers offer that."
    ),
    # --- reaching the server
    "dns-no-address": "Add an A or AAAA record for {host}, or correct the host in the URL.",
    "unreachable": (
        "See that the server runs and that {host} is its address; open port {port} over udp and "
        "tcp in its firewall, its cloud security group, and where Docker publishes ports."
    ),
    "udp-blocked": "Open {port}/udp: firewall, cloud security group, Docker's published ports.",
    "tcp-blocked": "Open {port}/tcp: firewall, security group, published ports; drop `no-tcp`.",
    "ipv6-unreachable": (
        "Make the server listen on its IPv6 address (listening-ip) and open port {port} for it, "
        "or remove the AAAA record of {host}."
    ),
    "client-network-blocks-udp": (
        "Nothing on the server: this network lets no UDP out. Offer turns: on port 443 to users "
        "behind such networks."
    ),
    "not-turn": (
        "Point the URL at coturn itself: a proxy or CDN in front must pass port {port} through as "
        "plain TCP or UDP (L4), and the DNS record must not be proxied."
    ),
    "deadline-reached": "The path is slow: run again with a larger --timeout.",
    # --- TLS
    "tls-refused": (
        "Give coturn a certificate it can read (cert=, pkey=), let it listen with "
        "tls-listening-port={port}, and open {port}/tcp."
    ),
    "tls-untrusted": (
        "Serve a certificate from a public CA with its full chain (cert=fullchain.pem); for a CA "
        "of your own give --ca FILE."
    ),
    "tls-name-mismatch": "Get a certificate for {host}, or use the name that it holds in the URL.",
    "tls-expired": "Renew the certificate, and make coturn load it: send SIGUSR2 to turnserver.",
    # --- STUN
    "srflx-missing": "Let STUN answer on this port: no `no-stun`, and no proxy that rewrites it.",
    # --- credentials
    "open-relay": (
        "Set use-auth-secret (or lt-cred-mech) and remove no-auth: anybody can relay traffic "
        "through this server."
    ),
    "realm-missing": "Set realm= in turnserver.conf: clients cannot authenticate without one.",
    "secret-mismatch": (
        "Compare the issuer's secret with static-auth-secret in the file that coturn loaded: "
        "quotes and trailing blanks are part of it."
    ),
    "credential-expired": "Fetch iceServers again before they expire, or raise the issuer's TTL.",
    "clock-skew": "Set the clocks of the issuer and of the TURN server by NTP.",
    # --- allocation
    "quota-user": "Raise user-quota in turnserver.conf: one call needs several allocations.",
    "relay-ports-exhausted": "Widen min-port–max-port, and see that relay-ip is an own address.",
    "server-draining": "Wait for the restart, or use another server: this one takes no new calls.",
    "alternate-server": "Put the named server into iceServers: some clients do not follow it.",
    "allocation-refused": "See coturn's log at this time for the reason of this error.",
    "refresh-failed": "See coturn's log: calls through this relay end when their lifetime does.",
    # --- data
    "relay-address-private": (
        "Set external-ip=PUBLIC/PRIVATE in turnserver.conf: peers cannot reach this address."
    ),
    "relay-range-blocked": (
        "Open min-port–max-port over udp (49152–65535/udp unless set otherwise) in the firewall "
        "and the cloud security group."
    ),
    "relay-range-unproved": (
        "Nothing to mend. Run the check from another network to prove the relay's port range."
    ),
    "permission-refused": (
        "Look for a denied-peer-ip that denies everything: `denied-peer-ip=::` and "
        "`denied-peer-ip=0.0.0.0` do."
    ),
    "own-relay-refused": (
        "Behind NAT set external-ip=PUBLIC/PRIVATE; else allow the relay's own address with "
        "allowed-peer-ip: two clients of one relay cannot talk otherwise."
    ),
    "relay-data-lost": "Look at max-bps and bps-capacity, the MTU, and the host's UDP buffers.",
    "ice-relay-failed": "See coturn's log: the packets pass, and two ICE agents do not connect.",
    "ice-srflx-failed": (
        "Nothing on the server, most likely: this network lets no direct packets in. Calls from "
        "here use the relay."
    ),
}
"""Code → what to do. {host} and {port} are the URL's own."""


def finding(
    code: str,
    severity: Severity,
    summary: str,
    *,
    url: str,
    host: str = "",
    port: int = 0,
    family: Family | None = None,
    **evidence: Any,
) -> Finding:
    """A finding with its fix filled in. Evidence that is None is left out."""
    return Finding(
        code=code,
        severity=severity,
        url=url,
        summary=summary,
        fix=FIXES[code].format(host=host, port=port),
        family=family,
        evidence={name: value for name, value in evidence.items() if value not in (None, "")},
    )
