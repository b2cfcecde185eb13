"""All finding codes: how bad each one is, and what to do about it.

A code is one cause with one fix. Scripts depend on it, so it keeps its meaning once it's released.
`docs/findings.md` and `docs/doctor.md` have one section for each code; tests compare both pages
with this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from turnctl.wire.outcome import Family

__all__ = ["CATALOGUE", "CHECK", "DOCTOR", "Entry", "Finding", "Severity", "finding"]


class Severity(StrEnum):
    """FAIL: the server or its configuration is at fault. WARN: calls work, or the client's own
    network may be the cause. INFO: good to know.
    """

    FAIL = "fail"
    WARN = "warn"
    INFO = "info"


FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO


@dataclass(frozen=True, slots=True)
class Finding:
    """`evidence` holds plain JSON values: what was seen, where and when.

    `entry` is the probe's. None means every entry of the list that has this URL.
    """

    code: str
    severity: Severity
    url: str
    summary: str
    fix: str
    family: Family | None = None
    entry: int | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """`fix` says what to do. `lower` is a milder severity, and when a finding gets it."""

    fix: str
    severity: Severity = FAIL
    lower: tuple[Severity, str] | None = None

    def __str__(self) -> str:
        """The severity as both pages state it."""
        if self.lower is None:
            return f"`{self.severity}`"
        return f"`{self.severity}`, or `{self.lower[0]}` {self.lower[1]}"


CHECK: Mapping[str, Entry] = {
    # --- where the iceServers come from
    "issuer-unreachable": Entry(
        "Start the service, or correct the URL. Check that the service's port is open."
    ),
    "issuer-refused": Entry(
        "Give a key of that service with --api-key-file FILE (Signalpost: the file `api-key` in "
        "its data directory), or let it accept guests (auth.guests). After a 404, correct the URL."
    ),
    "issuer-bad-response": Entry(
        "Give the URL that returns iceServers as JSON. Each entry with a turn: or turns: URL needs "
        "username and credential, under these names."
    ),
    "issuer-ttl-short": Entry(
        "Raise the issuer's TTL to a few minutes at least (Signalpost: turn.ttl).", WARN
    ),
    "issuer-cacheable": Entry("Send Cache-Control: no-store with the answer.", WARN),
    "iceservers-not-a-list": Entry(
        "Put the entries into an array, even if there is only one: "
        "iceServers: [{{urls, username, credential}}]."
    ),
    "iceservers-wrapped": Entry(
        "Make the app take the list out of the answer and use the names that browsers read: urls, "
        "username, credential. Nothing is wrong with the service.",
        WARN,
        (INFO, "if the answer does have a list, only in another place or under other names"),
    ),
    "iceserver-malformed": Entry(
        "Write each entry as {{urls: [URL, …], username: TEXT, credential: TEXT}}. A STUN entry "
        "needs only urls.",
        lower=(WARN, "where browsers accept the entry and other clients may not"),
    ),
    "username-too-long": Entry(
        "Issue user names of at most 508 bytes, including the timestamp. Put a short id there "
        "instead of a token or a list of claims."
    ),
    "url-malformed": Entry(
        "Write it as RFC 7064 and RFC 7065 require: turn:HOST:PORT?transport=udp|tcp.",
        lower=(WARN, "where browsers accept the URL and other clients may not"),
    ),
    "turns-over-udp": Entry(
        "Remove this URL, or write ?transport=tcp. Browsers treat it as TLS over TCP. Other "
        "clients try DTLS, which few servers offer.",
        WARN,
    ),
    "url-blocked-port": Entry(
        "Use port 3478, 5349, 80 or 443. Browsers block all other ports below 1024, and the bad "
        "ports of the Fetch standard."
    ),
    "url-port-unusual": Entry(
        "Use turn: with port 3478, and turns: with port 5349 or 443. Check which one the server "
        "listens on.",
        WARN,
    ),
    "no-tcp-fallback": Entry("Add turn:{host}:{port}?transport=tcp to the list.", WARN),
    "no-tls-443": Entry(
        "Add turns:{host}:443?transport=tcp to the list, and serve TLS on that port.", WARN
    ),
    # --- reaching the server
    "dns-no-address": Entry(
        "Add an A or AAAA record for {host}, or correct the host in the URL.",
        lower=(WARN, "for the server of `--stun-echo`"),
    ),
    "dns-unanswered": Entry(
        "Check that this machine's resolver works (getent hosts {host}). If it does, check that "
        "the name servers of {host} answer.",
        lower=(WARN, "if no other name was looked up, or for the server of `--stun-echo`"),
    ),
    "unreachable": Entry(
        "Check that the server runs and that {host} is its address. Open port {port} for udp and "
        "tcp in its firewall, in its cloud security group, and where Docker publishes ports. If "
        "this machine has no route, fix its own network first.",
        lower=(
            WARN,
            "if another port of the host answers, a relay carries data, and nothing shows that "
            "this network lets that transport out",
        ),
    ),
    "udp-blocked": Entry(
        "Open {port}/udp in the firewall, in the cloud security group and in Docker's published "
        "ports. Two other causes look the same from a distance: coturn 4.17.0 or 4.17.1 (see "
        "reply-ttl-low), and a server behind NAT that answers from another of its addresses.",
        lower=(
            WARN,
            "if a relay carries data and nothing shows that this network lets UDP out",
        ),
    ),
    "tcp-blocked": Entry(
        "Open {port}/tcp in the firewall, in the security group and in the published ports. Remove "
        "no-tcp from turnserver.conf."
    ),
    "ipv6-unreachable": Entry(
        "Make the server listen on its IPv6 address (listening-ip) and open port {port} for IPv6, "
        "or remove the AAAA record of {host}."
    ),
    "client-network-blocks-udp": Entry(
        "Nothing to fix on the server: this network doesn't let UDP out. For users on such "
        "networks, offer turns: on port 443.",
        WARN,
    ),
    "client-network-blocks-ports": Entry(
        "Nothing to fix on the server: this network lets only a few ports out. For users on such "
        "networks, offer turns: on port 443.",
        WARN,
    ),
    "client-network-lost": Entry(
        "Nothing to fix on the server. Restore this machine's own connection and run the check "
        "again.",
        WARN,
    ),
    "reply-ttl-low": Entry(
        "Upgrade coturn to 4.18.0 or later. Versions 4.17.0 and 4.17.1 send every UDP reply with "
        "TTL 1 after the first authenticated Allocate. With any other version, look for a firewall "
        "rule that sets the TTL (`nft list ruleset`, `iptables -t mangle -S`), and check "
        "net.ipv4.ip_default_ttl and net.ipv6.conf.*.hop_limit.",
        lower=(WARN, "if the TTL is between 9 and 23 and didn't fall during the session"),
    ),
    "reply-from-other-address": Entry(
        "Set listening-ip={address} in turnserver.conf, and one such line for each address that "
        "clients use. If coturn listens on 0.0.0.0 or ::, the route decides which address answers. "
        "If the server already has that line, something in front of it rewrites the source of its "
        "packets.",
        lower=(WARN, "if the answer comes from this machine's own network"),
    ),
    "not-turn": Entry(
        "Point the URL at coturn itself. A proxy or CDN in front must pass port {port} through as "
        "plain TCP or UDP (layer 4), and the DNS record must not be proxied."
    ),
    "deadline-reached": Entry("The path is slow. Run the check again with a larger --timeout."),
    # --- TLS
    "tls-refused": Entry(
        "Give coturn a certificate and key that it can read (cert=, pkey=), set "
        "tls-listening-port={port}, and open {port}/tcp."
    ),
    "tls-untrusted": Entry(
        "Serve a certificate from a public CA with its full chain (cert=fullchain.pem). For your "
        "own CA, pass --ca FILE."
    ),
    "tls-placeholder": Entry(
        "Run `docker compose logs acme` on the server to see why there is no certificate yet. "
        "Usually the name doesn't point there yet, or 80/tcp is closed in front of it."
    ),
    "tls-chain-incomplete": Entry(
        "Serve the whole chain: set cert=fullchain.pem in turnserver.conf instead of cert.pem."
    ),
    "tls-name-mismatch": Entry(
        "Get a certificate for {host}, or use a name from the certificate in the URL."
    ),
    "tls-ip-literal": Entry(
        "Write the certificate's name in the URL instead of {host}. A certificate for the address "
        "itself (ACME profile shortlived) helps only Chromium: Firefox doesn't accept a turns: URL "
        "with an address.",
        lower=(WARN, "if the certificate is valid for the address"),
    ),
    "tls-certificate-unfit": Entry(
        "Get a certificate like those of public CAs: an RSA key of 2048 bits or an ECDSA key on "
        "P-256, not a CA certificate (CA:FALSE), with keyUsage digitalSignature."
    ),
    "tls-old-version": Entry(
        "Upgrade the server's OpenSSL and remove no-tlsv1_2. Browsers need TLS 1.2 or later."
    ),
    "tls-alpn-refused": Entry(
        "Whatever terminates TLS on this port must accept the ALPN name stun.turn, or ignore names "
        "that it doesn't know. Browsers send no name, but some apps send this one.",
        WARN,
    ),
    "tls-root-unknown-to-apps": Entry(
        "Nothing to fix for browsers. If native apps use this server, build them with a newer list "
        "of roots or their own verifier (SSLCertificateVerifier), choose a CA whose root is in "
        "libwebrtc's list, or give them turn:{host}?transport=tcp beside turns:.",
        INFO,
    ),
    "tls-expires-soon": Entry(
        "Find out why the renewal doesn't run. After renewing, send SIGUSR2 to turnserver.", WARN
    ),
    "tls-expired": Entry(
        "Renew the certificate, then send SIGUSR2 to turnserver so that it loads the new one."
    ),
    # --- STUN
    "srflx-missing": Entry(
        "Make STUN answer on this port: remove no-stun and secure-stun, and any proxy that "
        "rewrites STUN.",
        lower=(WARN, "for a relay URL, if the server answers Binding with an error or not at all"),
    ),
    "mapped-loopback": Entry(
        "Make the proxy on the TURN server's host send PROXY protocol v2 to coturn's "
        "tcp-proxy-port (HAProxy: send-proxy-v2; nginx: proxy_protocol on). Or let clients reach "
        "coturn directly: set listening-ip= to an address of the host instead of 127.0.0.1."
    ),
    "mapped-address-wrong": Entry(
        "Run coturn on the host's network (network_mode: host). Behind Docker's bridge or a proxy "
        "it can't see its clients' addresses."
    ),
    "tls-proxy-hides-client": Entry(
        "Make the edge send PROXY protocol v2 to coturn's tcp-proxy-port. Quotas and logs need the "
        "client's own address.",
        WARN,
    ),
    "symmetric-nat": Entry(
        "Nothing to fix on the server. Keep the relay reachable for users on this network.", INFO
    ),
    # --- credentials
    "open-relay": Entry(
        "Remove no-auth, and set use-auth-secret with a secret (or lt-cred-mech with users). Until "
        "then anybody can relay traffic through this server."
    ),
    "stun-only": Entry(
        "If clients need a relay, remove stun-only from turnserver.conf. Otherwise write this "
        "server as a stun: URL. Public STUN servers (often on port 19302) don't relay.",
        lower=(WARN, "in `turnctl doctor`, since the server may be meant only for STUN"),
    ),
    "realm-missing": Entry(
        "Set realm=NAME in turnserver.conf, for example realm=turn.example.org, and restart "
        "coturn. Without a realm, or with an empty one, Chromium gathers no relay."
    ),
    "realm-too-long": Entry("Set realm= in turnserver.conf to a name of at most 127 characters."),
    "credential-not-ascii": Entry(
        "Use only ASCII in user names and passwords. An id or a hash can replace a name."
    ),
    "secret-mismatch": Entry(
        "Give coturn and the issuer the same secret. For Signalpost run `turnctl init`: it writes "
        "coturn's database from turn-secret. Otherwise compare the issuer's secret with "
        "static-auth-secret in the file that coturn loaded (its log names the file), and check "
        "that use-auth-secret is set there. Single quotes and a comment after the value are part "
        "of the secret; double quotes around it and blanks at its end aren't. A secret in coturn's "
        "database counts only for its own realm: turn_secret.realm must be the same as realm= "
        "(turnadmin -S -r REALM lists the secrets of a realm)."
    ),
    "credential-malformed": Entry(
        "Make the issuer create user names as TIMESTAMP:ID, with Unix time in seconds, and "
        "passwords as base64(HMAC-SHA1(secret, username))."
    ),
    "login-refused": Entry(
        "Compare the user name and the password with user=NAME:PASSWORD in turnserver.conf (with "
        "lt-cred-mech), or with turnadmin -l. If coturn uses use-auth-secret, issue user names as "
        "TIMESTAMP:ID. With --secret-file FILE this check finds out which applies."
    ),
    "credential-expired": Entry(
        "Fetch the iceServers again before they expire, or raise the issuer's TTL."
    ),
    "static-credential-on-secret-server": Entry(
        "If coturn uses use-auth-secret, issue user names as TIMESTAMP:ID. For a fixed user, give "
        "coturn lt-cred-mech and user=."
    ),
    "realm-mismatch": Entry(
        "Store the secret under the server's realm: turn_secret.realm must be the same as realm=."
    ),
    "two-servers-one-port": Entry(
        "List the processes on this port with `ss -lunp` on the server, and stop the one that "
        "isn't meant to run. The kernel hands packets to both without any warning."
    ),
    "nonce-loop": Entry(
        "Check that only one server uses the port, and that stale-nonce isn't too short."
    ),
    "clock-skew": Entry(
        "Synchronize both clocks with NTP: the issuer's (with --secret-file this machine is the "
        "issuer) and the TURN server's. `timedatectl` shows which one isn't synchronized."
    ),
    # --- allocation
    "quota-user": Entry(
        "Raise user-quota in turnserver.conf. One call needs several allocations.",
        lower=(WARN, "if this check itself held four or more of that user's allocations"),
    ),
    "quota-total": Entry(
        "Raise total-quota in turnserver.conf, and find out who holds the allocations."
    ),
    "relay-ports-exhausted": Entry(
        "Check that each relay-ip in turnserver.conf is an address of the host (`ip address` lists "
        "them; behind NAT use the inner address, and external-ip=PUBLIC/PRIVATE for the outer "
        "one). If they all are, widen min-port–max-port."
    ),
    "allocation-slow": Entry(
        "Remove every relay-ip that isn't an address of the host (`ip address` lists them) or "
        "whose network is down, as Docker's bridges sometimes are. If there is no such line, check "
        "that coturn's database answers quickly, and how busy the host is."
    ),
    "server-unresponsive": Entry(
        "Read coturn's log from the time of this check, and check whether it restarted. Check that "
        "each relay-ip is an address of the host, that min-port isn't above max-port, and that the "
        "database (redis-userdb and so on) answers. If no coturn runs there, see not-turn."
    ),
    "allocation-lifetime-short": Entry(
        "Remove max-allocate-lifetime from turnserver.conf, or set it to 600 or more."
    ),
    "relay-port-low": Entry(
        "Set min-port and max-port to a range above 1024. The default is 49152 to 65535."
    ),
    "relay-ipv6-only": Entry(
        "Give the server an IPv4 address to relay on as well (relay-ip=), or set "
        "allocation-default-address-family=keep. Browsers don't ask for a family."
    ),
    "server-draining": Entry(
        "Wait for the restart, or use another server. This one accepts no new calls."
    ),
    "alternate-server": Entry(
        "Put the other server into iceServers. Some clients don't follow the redirect."
    ),
    "allocation-refused": Entry(
        "Read coturn's log from the time of this check for the reason. 442: remove no-udp-relay "
        "from turnserver.conf. 440: add a relay-ip of the family that clients use."
    ),
    "refresh-failed": Entry(
        "Read coturn's log. Calls through this relay end when the allocation's lifetime does."
    ),
    # --- data
    "relay-address-private": Entry(
        "Set external-ip=PUBLIC/PRIVATE in turnserver.conf. Peers can't reach this address."
    ),
    "relay-address-wrong": Entry(
        "Set external-ip=PUBLIC/PRIVATE to the address that the relay's traffic leaves from."
    ),
    "ipv6-relay-missing": Entry(
        "Add an IPv6 relay-ip to turnserver.conf, or remove the AAAA record.", WARN
    ),
    "relay-range-blocked": Entry(
        "Open min-port–max-port for udp (49152–65535/udp by default) in the firewall and in the "
        "cloud security group."
    ),
    "relay-range-unproved": Entry(
        "Nothing to fix. Run the check from another network to test the relay's port range.", INFO
    ),
    "permission-refused": Entry(
        "Look for a denied-peer-ip that denies everything: `denied-peer-ip=::` and "
        "`denied-peer-ip=0.0.0.0` both do.",
        lower=(
            WARN,
            "if the relay has a private address, since it may be meant only for that network",
        ),
    ),
    "own-relay-refused": Entry(
        "Behind NAT, set external-ip=PUBLIC/PRIVATE. Otherwise allow the relay's own address with "
        "allowed-peer-ip. Two clients of one relay can't reach each other until then."
    ),
    "relay-data-lost": Entry(
        "Run the check from another network, since the loss may be on the way. On the server, "
        "check max-bps and bps-capacity, the MTU, and the host's UDP buffers.",
        lower=(WARN, "if some packets came back, or if the path loses too many to tell"),
    ),
    "private-peers-allowed": Entry(
        "Add the deny list to turnserver.conf (`turnctl init` writes it). Until then clients can "
        "reach the server's internal network through the relay."
    ),
    "amplification": Entry(
        "Set no-software-attribute, no-stun-backward-compatibility and no-rfc5780 if this version "
        "has them, or upgrade coturn.",
        WARN,
    ),
    "version-vulnerable": Entry(
        "Upgrade coturn to 4.18 or later (in a compose deployment, deploy/upgrade does it without "
        "ending a call), and set no-software-attribute.",
        lower=(
            WARN,
            "in `turnctl doctor`, if no public address is configured and the version isn't 4.17.0 "
            "or 4.17.1",
        ),
    ),
    "ice-relay-failed": Entry(
        "Read coturn's log. Packets pass, but two ICE agents don't connect.", WARN
    ),
    "ice-srflx-failed": Entry(
        "Most likely there is nothing to fix on the server: this network doesn't let direct "
        "packets in. Calls from here use the relay.",
        INFO,
    ),
}
"""Code → entry, of all that `turnctl check` can find. In a fix {host} and {port} are the URL's own,
and {address} is the host's address."""

DOCTOR: Mapping[str, Entry] = {
    # --- containers
    "container-missing": Entry("Start it: docker compose up --detach {place}."),
    "container-ended": Entry("Read its last lines: docker compose logs {place}."),
    "container-restarting": Entry(
        "Find out why it ends: docker compose logs {place}.",
        lower=(WARN, "if it runs now"),
    ),
    "container-unhealthy": Entry(
        "Read docker compose logs {place}, and run turnctl check, which names the cause."
    ),
    "port-not-published": Entry(
        "Publish it under the same number on every address, as in compose.bridge.yaml, or put "
        "coturn on host networking (network_mode: host)."
    ),
    "ports-published-many": Entry(
        "Publish at most 100 relay ports and set min-port and max-port to them, or put coturn on "
        "host networking. Docker starts a proxy and adds a rule for every port.",
        lower=(WARN, "for a container that exists already"),
    ),
    # --- coturn's configuration
    "option-unknown": Entry("Correct the name or remove the line. coturn ignores it."),
    "option-dropped": Entry(
        "Remove the line. This version does it by default, or no longer has the option.",
        lower=(WARN, "without `--config`"),
    ),
    "option-unsafe": Entry("Remove the line.", WARN),
    "option-repeated": Entry(
        "Keep only one line. Which one coturn uses depends on the option.",
        lower=(WARN, "for any option but `external-ip`"),
    ),
    "line-too-long": Entry(
        "Shorten the line to 1,023 bytes. coturn reads the rest as another line."
    ),
    "trailing-comment": Entry(
        "Put the comment on its own line. Here it is part of the value.",
        lower=(WARN, "if coturn stops reading the value at the blank"),
    ),
    "value-invalid": Entry(
        "Correct the value. coturn refuses to start with it, or uses another value.",
        lower=(WARN, "with `--config`, if the file may be for another host"),
    ),
    "address-name": Entry(
        "Write the address. If you keep the name, restart coturn whenever its address changes: "
        "coturn asks DNS only once.",
        WARN,
    ),
    "denied-peer-cidr": Entry("Write FIRST-LAST instead, as in 10.0.0.0-10.255.255.255."),
    "denied-peer-everything": Entry(
        "Begin the range at ::1, or write an IPv4 range, as `turnctl init` does. coturn applies "
        "this one to every peer."
    ),
    "deny-list-missing": Entry(
        "Add the deny list (turnctl init writes it). Until then clients can reach the host's "
        "internal network through the relay."
    ),
    "deny-list-incomplete": Entry(
        "Add the missing ranges. turnctl init writes them all.",
        lower=(WARN, "if no private range is open"),
    ),
    "loopback-peers-allowed": Entry(
        "Remove the line. It lets clients reach what listens on loopback."
    ),
    "auth-mechanisms-mixed": Entry(
        "Keep only one mechanism. With a secret, coturn ignores lt-cred-mech and every user= line.",
        WARN,
    ),
    "credentials-missing": Entry(
        "Add static-auth-secret= beside use-auth-secret, or user=NAME:PASSWORD beside "
        "lt-cred-mech, unless coturn's default database holds them.",
        WARN,
    ),
    "external-ip-alone": Entry(
        "Write external-ip=PUBLIC/PRIVATE. The relay can't reach itself otherwise.",
        lower=(WARN, "if the file names neither `listening-ip` nor `relay-ip`"),
    ),
    "external-ip-reversed": Entry(
        "Swap the two halves: external-ip=PUBLIC/PRIVATE, here {swapped}."
    ),
    "external-ip-other-address": Entry(
        "After the slash of external-ip, write the address of relay-ip (or of listening-ip)."
    ),
    "listening-ip-outer": Entry(
        "Write the inner half: {inner}. The outer address belongs to the NAT in front of the host."
    ),
    "tls-certificate-missing": Entry(
        "Set cert= and pkey= to files that coturn can read, or remove tls-listening-port."
    ),
    "tls-file-missing": Entry(
        "Correct the path, or put the file there, and restart coturn.",
        lower=(WARN, "with `--config`, if the file may be for another host"),
    ),
    "tls-file-unreadable": Entry(
        "Let coturn's user read the file and enter every directory above it, or copy the file to a "
        "place where it can. Then restart coturn."
    ),
    "tls-file-invalid": Entry(
        "Use PEM files: cert= for the certificate with its chain, pkey= for its key. Set pkey-pwd= "
        "for an encrypted key."
    ),
    "tls-key-mismatch": Entry("Set pkey= to the key that the certificate was made with."),
    "tls-switched-off": Entry(
        "Remove no-tls if clients use turns: URLs. If they don't, remove the TLS options.", WARN
    ),
    "tls-version-off": Entry("Remove no-tlsv1_2.", lower=(WARN, "if coturn's version is unknown")),
    "configuration-for-other-version": Entry(
        "Run turnctl init with --coturn-version {version} (compose: COTURN_VERSION in .env).", WARN
    ),
    "configuration-refused": Entry("Correct the option that coturn names, and restart it."),
    "listener-failed": Entry(
        "Stop the other program that uses the port, or set listening-ip to an address of this host."
    ),
    # --- secrets
    "secret-file-missing": Entry(
        "Run turnctl init. It makes the file and doesn't change the others."
    ),
    "secret-file-unreadable": Entry(
        "Make it a text file with one secret per line, and check who may read it."
    ),
    "secret-file-open": Entry(
        "Run: chmod o-rwx {place}. For a secret file, run: chmod 600 {place}."
    ),
    "secret-file-owner": Entry(
        "Give it to the user that owns the data directory: chown {owner} {place}.", WARN
    ),
    "secret-malformed": Entry(
        "Write the secret without quotes, blanks or other characters around it. coturn drops "
        "double quotes and blanks at the end, and keeps single quotes and everything else."
    ),
    "secret-weak": Entry("Use one from a random generator. turnctl rotate makes one."),
    # --- network
    "nothing-listens": Entry(
        "Start coturn. If it runs already, check its log and its listening-ip."
    ),
    "address-gone": Entry(
        "Run turnctl init again, or set listening-ip and relay-ip to addresses of this host.",
        lower=(WARN, "with `--config`, if the file may be for another host"),
    ),
    "external-address-changed": Entry(
        "Run turnctl init again (or set EXTERNAL_IP), restart coturn, and update the DNS record."
    ),
    "external-address-missing": Entry(
        "If only the local network makes calls, do nothing. Otherwise forward the relay's ports to "
        "this host and set EXTERNAL_IP.",
        INFO,
    ),
    "firewall-drops-listener": Entry(
        "Accept it in the firewall's input chain, before the rule that is named."
    ),
    "firewall-drops-relay": Entry(
        "Accept min-port–max-port for udp, before the rule that is named."
    ),
    "udp-receive-errors": Entry(
        "Raise net.core.rmem_max and net.core.rmem_default (sysctl), or give the host more CPU. "
        "Packets came faster than they were read.",
        WARN,
        (INFO, "below one packet in ten thousand"),
    ),
    "udp-send-errors": Entry(
        "Raise net.core.wmem_max and net.core.wmem_default (sysctl).",
        WARN,
        (INFO, "below one packet in ten thousand"),
    ),
}
"""Code → entry, of what only `turnctl doctor` can find. In a fix {place} is where it was seen;
other fields are part of the evidence."""

CATALOGUE: Mapping[str, Entry] = {**CHECK, **DOCTOR}


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
    fix = CHECK[code].fix
    return Finding(
        code=code,
        severity=severity,
        url=url,
        summary=summary,
        fix=fix.format(host=host, port=port, address=evidence.get("address") or host),
        family=family,
        entry=entry,
        evidence={name: value for name, value in evidence.items() if value not in (None, "")},
    )
