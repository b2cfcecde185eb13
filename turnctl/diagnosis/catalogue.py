"""Findings: what follows from what was seen, with its cause and its cure.

Owns the catalogue of codes. A code is one cause with one fix, and stays what it is once released:
scripts depend on it. `docs/findings.md` has a section for each; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from turnctl.wire.outcome import Family

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
    """`evidence` holds plain JSON values: what was seen, where and when. `entry` is the probe's,
    and None where all entries of a list with this URL are meant.
    """

    code: str
    severity: Severity
    url: str
    summary: str
    fix: str
    family: Family | None = None
    entry: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


FIXES: Mapping[str, str] = {
    # --- where the iceServers come from
    "issuer-unreachable": "Start the service, or correct the URL; see that its port is open.",
    "issuer-refused": (
        "Give --api-key-file FILE with a key of that service (signalpost: the file `api-key` in "
        "its data directory), or admit guests there (auth.guests); after a 404 correct the URL."
    ),
    "issuer-bad-response": (
        "Give the URL that returns iceServers as JSON, each turn: or turns: entry with username "
        "and credential."
    ),
    "issuer-ttl-short": "Raise the issuer's TTL to some minutes at least (signalpost: turn.ttl).",
    "issuer-cacheable": "Send Cache-Control: no-store with the answer.",
    "iceservers-not-a-list": (
        "Put the entries into an array: iceServers: [{{urls, username, credential}}], also when "
        "there is only one."
    ),
    "iceservers-wrapped": (
        "Let the app take the list out of the answer, under the names that browsers read: urls, "
        "username, credential. Nothing is wrong with the service."
    ),
    "iceserver-malformed": (
        "Write each entry as {{urls: [URL, …], username: TEXT, credential: TEXT}}; a STUN entry "
        "needs urls alone."
    ),
    "username-too-long": (
        "Issue user names of at most 508 bytes, timestamp included: put a short id there, and not "
        "a token or a list of claims."
    ),
    "url-malformed": "Write it as RFC 7064/7065 have it: turn:HOST:PORT?transport=udp|tcp.",
    "turns-over-udp": (
        "Drop this URL or write ?transport=tcp: browsers take it for TLS over TCP, others for "
        "DTLS, and few servers offer that."
    ),
    "url-blocked-port": (
        "Use 3478, 5349, 80 or 443: browsers refuse every other port below 1024, and those of "
        "Fetch's list of bad ports."
    ),
    "url-port-unusual": "Use turn: with 3478 and turns: with 5349 or 443; see which one listens.",
    "no-tcp-fallback": "Add turn:{host}:{port}?transport=tcp to the list.",
    "no-tls-443": "Add turns:{host}:443?transport=tcp to the list, and serve TLS there.",
    # --- reaching the server
    "dns-no-address": "Add an A or AAAA record for {host}, or correct the host in the URL.",
    "dns-unanswered": (
        "See that this machine's resolver works (getent hosts {host}), else that the name servers "
        "of {host} answer."
    ),
    "unreachable": (
        "See that the server runs and that {host} is its address; open port {port} over udp and "
        "tcp in its firewall, its cloud security group, and where Docker publishes ports. Without "
        "a route see to this machine's own network first."
    ),
    "udp-blocked": (
        "Open {port}/udp: firewall, cloud security group, Docker's published ports. coturn 4.17.0 "
        "and 4.17.1 show the same from a distance (see reply-ttl-low), and so does a server behind "
        "a NAT that answers from another address of its own."
    ),
    "tcp-blocked": "Open {port}/tcp: firewall, security group, published ports; drop `no-tcp`.",
    "ipv6-unreachable": (
        "Make the server listen on its IPv6 address (listening-ip) and open port {port} for it, "
        "or remove the AAAA record of {host}."
    ),
    "client-network-blocks-udp": (
        "Nothing on the server: this network lets no UDP out. Offer turns: on port 443 to users "
        "behind such networks."
    ),
    "client-network-blocks-ports": (
        "Nothing on the server: this network lets few ports out. Offer turns: on port 443 to users "
        "behind such networks."
    ),
    "client-network-lost": (
        "Nothing on the server: see to this machine's own connection, and run the check again."
    ),
    "reply-ttl-low": (
        "Upgrade coturn to 4.18.0 or later: 4.17.0 and 4.17.1 send every UDP reply with TTL 1 from "
        "the first authenticated Allocate on. With another version look for a rule that sets the "
        "TTL (`nft list ruleset`, `iptables -t mangle -S`) and at net.ipv4.ip_default_ttl and "
        "net.ipv6.conf.*.hop_limit."
    ),
    "reply-from-other-address": (
        "Set listening-ip={address} in turnserver.conf, with one such line for each address that "
        "clients use: when it listens on 0.0.0.0 or ::, the route decides which address answers. "
        "If the server has that line, something in front of it rewrites the source of its packets."
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
    "tls-placeholder": (
        "Read on the server why there is none: docker compose logs acme. Mostly the name does not "
        "lead there yet, or 80/tcp is closed in front of it."
    ),
    "tls-chain-incomplete": (
        "Serve the whole chain: cert=fullchain.pem in turnserver.conf instead of cert.pem."
    ),
    "tls-name-mismatch": "Get a certificate for {host}, or use the name that it holds in the URL.",
    "tls-ip-literal": (
        "Use the name that the certificate holds in the URL instead of {host}. A certificate for "
        "the address itself (ACME profile shortlived) helps Chromium alone: Firefox takes no "
        "turns: URL with an address."
    ),
    "tls-certificate-unfit": (
        "Get a certificate as public CAs issue it: an RSA key of 2048 bits or an ECDSA key on "
        "P-256, not a CA's own (CA:FALSE), with keyUsage digitalSignature."
    ),
    "tls-old-version": "Upgrade the server's OpenSSL and remove no-tlsv1_2: browsers want TLS 1.2.",
    "tls-alpn-refused": (
        "Let what ends TLS on this port take the ALPN name stun.turn, or ignore names that it does "
        "not know: browsers send none, and some apps send this one."
    ),
    "tls-root-unknown-to-apps": (
        "Nothing for browsers. If native apps use this server, build them with a newer list of "
        "roots or a verifier of their own (SSLCertificateVerifier), choose a CA whose root is in "
        "libwebrtc's list, or give them turn:{host}?transport=tcp beside turns:."
    ),
    "tls-expires-soon": "See why renewal does not run; after it send SIGUSR2 to turnserver.",
    "tls-expired": "Renew the certificate, and make coturn load it: send SIGUSR2 to turnserver.",
    # --- STUN
    "srflx-missing": (
        "Let STUN answer on this port: no `no-stun`, no `secure-stun`, and no proxy that rewrites "
        "it."
    ),
    "mapped-loopback": (
        "Let the proxy on the TURN server's host send PROXY protocol v2 to coturn's "
        "tcp-proxy-port (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or let clients reach "
        "coturn itself: listening-ip= with an address of the host's instead of 127.0.0.1."
    ),
    "mapped-address-wrong": (
        "Run coturn on the host's network (network_mode: host): through Docker's bridge or a proxy "
        "it does not see its clients' addresses."
    ),
    "tls-proxy-hides-client": (
        "Let the edge send PROXY protocol v2 to coturn's tcp-proxy-port: quotas and logs need the "
        "client's own address."
    ),
    "symmetric-nat": "Nothing on the server: keep the relay reachable for this network's users.",
    # --- credentials
    "open-relay": (
        "Set use-auth-secret (or lt-cred-mech) and remove no-auth: anybody can relay traffic "
        "through this server."
    ),
    "stun-only": (
        "Put this server into a stun: URL, or let it relay: take stun-only out of turnserver.conf. "
        "Public STUN servers (on port 19302, for example) do not relay."
    ),
    "realm-missing": (
        "Set realm=NAME in turnserver.conf, to the server's domain for example, and restart "
        "coturn: without it, or with an empty one, Chromium gathers no relay."
    ),
    "realm-too-long": "Set realm= in turnserver.conf to a name of at most 127 characters.",
    "credential-not-ascii": (
        "Use ASCII alone in user names and passwords; an id or a hash can stand for a name."
    ),
    "secret-mismatch": (
        "Compare the issuer's secret with static-auth-secret in the file that coturn loaded (its "
        "log names the file), and see that use-auth-secret stands there: single quotes and a "
        "comment after it are part of the secret, double quotes around it and trailing blanks are "
        "not. A secret in coturn's database counts only under the realm it stands with: "
        "turn_secret.realm has to be realm= (turnadmin -S -r REALM lists those of a realm)."
    ),
    "credential-malformed": (
        "Let the issuer make user names as TIMESTAMP:ID, with Unix time in seconds, and passwords "
        "as base64(HMAC-SHA1(secret, username))."
    ),
    "login-refused": (
        "Compare user name and password with user=NAME:PASSWORD in turnserver.conf (with "
        "lt-cred-mech), or with turnadmin -l. If coturn has use-auth-secret, issue user names as "
        "TIMESTAMP:ID; with --secret-file FILE this check finds out which."
    ),
    "credential-expired": "Fetch iceServers again before they expire, or raise the issuer's TTL.",
    "static-credential-on-secret-server": (
        "Issue usernames as TIMESTAMP:ID when coturn has use-auth-secret; for a fixed user give "
        "coturn lt-cred-mech and user=."
    ),
    "realm-mismatch": "Store the secret under the server's realm: turn_secret.realm = realm=.",
    "two-servers-one-port": (
        "Find the second process with `ss -lunp sport = :{port}` and end it: coturn shares its "
        "port without a word."
    ),
    "nonce-loop": "See that one server alone has the port, and that stale-nonce is not too short.",
    "clock-skew": (
        "Set the clocks by NTP: the issuer's (with --secret-file this machine mints) and the TURN "
        "server's. `timedatectl` shows which of them is not synchronized."
    ),
    # --- allocation
    "quota-user": "Raise user-quota in turnserver.conf: one call needs several allocations.",
    "quota-total": "Raise total-quota in turnserver.conf, and see who holds the allocations.",
    "relay-ports-exhausted": (
        "See that each relay-ip in turnserver.conf is an address of the host (`ip address` lists "
        "them; behind NAT the inner one, with external-ip=PUBLIC/PRIVATE for the outer one). If "
        "they are, widen min-port–max-port."
    ),
    "allocation-slow": (
        "Take out every relay-ip that is not an address of the host (`ip address` lists them), or "
        "whose network is down, as Docker's bridges are at times. Without such a line see whether "
        "coturn's database answers quickly, and how busy the host is."
    ),
    "server-unresponsive": (
        "See coturn's log at this time, and whether it was restarted. Check that each relay-ip is "
        "an address of the host, that min-port is not above max-port, and that the database "
        "(redis-userdb and so on) answers. If coturn does not run there at all, see not-turn."
    ),
    "allocation-lifetime-short": (
        "Take max-allocate-lifetime out of turnserver.conf, or set it to 600 or more."
    ),
    "relay-port-low": "Set min-port and max-port to a range above 1024: 49152 to 65535 by default.",
    "relay-ipv6-only": (
        "Give the server an IPv4 address to relay on as well (relay-ip=), or set "
        "allocation-default-address-family=keep: browsers ask for no family."
    ),
    "server-draining": "Wait for the restart, or use another server: this one takes no new calls.",
    "alternate-server": "Put the named server into iceServers: some clients do not follow it.",
    "allocation-refused": (
        "See coturn's log at this time for the reason of this error. 442: take no-udp-relay out of "
        "turnserver.conf. 440: add a relay-ip of the family that clients use."
    ),
    "refresh-failed": "See coturn's log: calls through this relay end when their lifetime does.",
    # --- data
    "relay-address-private": (
        "Set external-ip=PUBLIC/PRIVATE in turnserver.conf: peers cannot reach this address."
    ),
    "relay-address-wrong": "Set external-ip=PUBLIC/PRIVATE to the address its traffic leaves from.",
    "ipv6-relay-missing": "Add an IPv6 relay-ip to turnserver.conf, or remove the AAAA record.",
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
    "relay-data-lost": (
        "Run the check from another network: the loss may be on the way. At the server look at "
        "max-bps and bps-capacity, the MTU, and the host's UDP buffers."
    ),
    "private-peers-allowed": (
        "Add the deny list to turnserver.conf (turnctl init writes it): clients can reach the "
        "server's inner network through the relay."
    ),
    "amplification": (
        "Set no-software-attribute, no-stun-backward-compatibility and no-rfc5780 where the "
        "version knows them, or upgrade coturn."
    ),
    "version-vulnerable": "Upgrade coturn to 4.18 or later, and set no-software-attribute.",
    "ice-relay-failed": "See coturn's log: the packets pass, and two ICE agents do not connect.",
    "ice-srflx-failed": (
        "Nothing on the server, most likely: this network lets no direct packets in. Calls from "
        "here use the relay."
    ),
}
"""Code → what to do. {host} and {port} are the URL's own, {address} is what the host stands for."""


def finding(
    code: str,
    severity: Severity,
    summary: str,
    *,
    url: str,
    host: str = "",
    port: int = 0,
    family: Family | None = None,
    entry: int | None = None,
    **evidence: Any,
) -> Finding:
    """A finding with its fix filled in. Evidence that is None is left out."""
    return Finding(
        code=code,
        severity=severity,
        url=url,
        summary=summary,
        fix=FIXES[code].format(host=host, port=port, address=evidence.get("address") or host),
        family=family,
        entry=entry,
        evidence={name: value for name, value in evidence.items() if value not in (None, "")},
    )
