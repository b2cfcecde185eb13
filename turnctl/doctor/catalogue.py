"""What `turnctl doctor` can find: a code is one cause with one fix.

Beside the catalogue of `turnctl check`, in the same form. `docs/doctor.md` has a section for each
code; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnctl.diagnosis.catalogue import Finding, Severity

__all__ = ["FIXES", "found"]

FIXES: Mapping[str, str] = {
    # --- containers
    "container-missing": "Start it: docker compose up --detach {place}.",
    "container-ended": "See its last words: docker compose logs {place}.",
    "container-restarting": "See why it ends: docker compose logs {place}.",
    "container-unhealthy": (
        "See docker compose logs {place}, and run turnctl check: it names the cause."
    ),
    "port-not-published": (
        "Publish it under the same number on every address, as in compose.bridge.yaml, or put "
        "coturn on host networking (network_mode: host)."
    ),
    "ports-published-many": (
        "Publish at most 100 relay ports and set min-port and max-port to them, or put coturn on "
        "host networking: Docker starts a proxy and a rule for every port."
    ),
    # --- coturn's configuration
    "option-unknown": "Correct the name or remove the line: coturn runs on without it.",
    "option-dropped": "Remove the line: this version has it by default, or no more.",
    "option-unsafe": "Remove the line.",
    "option-repeated": "Keep one line: which of them counts depends on the option.",
    "line-too-long": "Shorten the line to 1,023 bytes: coturn reads the rest as another line.",
    "trailing-comment": "Put the comment on a line of its own: here it is part of the value.",
    "value-invalid": "Correct the value: coturn stops at it, or runs on with something else.",
    "address-name": (
        "Write the address. If the name's address changes, restart coturn: it asks DNS only once."
    ),
    "denied-peer-cidr": "Write FIRST-LAST instead, as in 10.0.0.0-10.255.255.255.",
    "denied-peer-everything": (
        "Begin the range at ::1 or name one of IPv4, as `turnctl init` does: coturn takes this one "
        "for every peer."
    ),
    "deny-list-missing": (
        "Add the deny list (turnctl init writes it): clients can reach the host's inner network "
        "through the relay."
    ),
    "deny-list-incomplete": "Add the ranges that are missing; turnctl init writes them all.",
    "loopback-peers-allowed": "Remove the line: clients reach what listens on loopback.",
    "open-relay": (
        "Set use-auth-secret and give it a secret, and remove no-auth: anybody can relay "
        "traffic through this server."
    ),
    "auth-mechanisms-mixed": (
        "Keep one mechanism. With a secret coturn ignores lt-cred-mech and every user= line."
    ),
    "credentials-missing": (
        "Add static-auth-secret= beside use-auth-secret, or user=NAME:PASSWORD beside "
        "lt-cred-mech, unless coturn's default database holds them."
    ),
    "realm-missing": "Add realm= with a name, for example realm=turn.example.org.",
    "stun-only": "Remove stun-only if clients need a relay.",
    "external-ip-alone": "Write external-ip=PUBLIC/PRIVATE: the relay cannot reach itself else.",
    "external-ip-reversed": "Swap the two halves: external-ip=PUBLIC/PRIVATE, here {swapped}.",
    "external-ip-other-address": (
        "Write the address that relay-ip (or listening-ip) has behind the slash of external-ip."
    ),
    "listening-ip-outer": (
        "Write the inner half: {inner}. The outer address belongs to the NAT in front of the host."
    ),
    "tls-certificate-missing": (
        "Set cert= and pkey= to files that coturn can read, or remove tls-listening-port."
    ),
    "tls-file-missing": "Correct the path, or put the file there, and restart coturn.",
    "tls-file-unreadable": (
        "Let coturn's user read the file and enter every directory above it, or copy the file to a "
        "place where it can; then restart coturn."
    ),
    "tls-file-invalid": (
        "Use PEM files: cert= the certificate with its chain, pkey= its key; set pkey-pwd= for an "
        "encrypted key."
    ),
    "tls-key-mismatch": "Set pkey= to the key that the certificate was made with.",
    "tls-switched-off": "Remove no-tls if clients use turns: URLs; else remove the TLS options.",
    "tls-version-off": "Remove no-tlsv1_2.",
    "configuration-for-other-version": (
        "Run turnctl init with --coturn-version {version} (compose: COTURN_VERSION in .env)."
    ),
    "configuration-refused": "Correct the option that coturn names, and restart it.",
    "listener-failed": (
        "End what else has the port, or correct listening-ip to an address of this host."
    ),
    "version-vulnerable": (
        "Upgrade coturn to 4.18 or later; in a compose deployment deploy/upgrade ends no call."
    ),
    # --- secrets
    "secret-file-missing": "Run turnctl init: it makes the file and leaves the others as they are.",
    "secret-file-unreadable": "Make it a text file with one secret a line; see who may read it.",
    "secret-file-open": "Run: chmod o-rwx {place}; a secret file also: chmod 600 {place}.",
    "secret-file-owner": "Give it to the user that owns the data directory: chown {owner} {place}.",
    "secret-malformed": (
        "Write the secret without quotes, blanks and other characters around it: coturn drops "
        "double quotes and trailing blanks, and keeps single quotes and everything else."
    ),
    "secret-weak": "Take one from a random generator: turnctl rotate makes it.",
    "secret-mismatch": (
        "Run turnctl init: it writes coturn's database from turn-secret, and coturn follows."
    ),
    # --- network
    "nothing-listens": "Start coturn; where it runs, see its log and listening-ip.",
    "two-servers-one-port": "End one of them: the kernel deals packets out to both without a word.",
    "address-gone": "Run turnctl init again, or set listening-ip and relay-ip to an own address.",
    "external-address-changed": (
        "Run turnctl init again (or set EXTERNAL_IP) and restart coturn; update the DNS record."
    ),
    "external-address-missing": (
        "Nothing, if only the local network shall call. Else forward the relay's ports to this "
        "host and set EXTERNAL_IP."
    ),
    "firewall-drops-listener": "Accept it in the firewall's input chain, before the rule named.",
    "firewall-drops-relay": "Accept min-port–max-port over udp, before the rule named.",
    "udp-receive-errors": (
        "Raise net.core.rmem_max and net.core.rmem_default (sysctl), or give the host more CPU: "
        "packets came faster than they were read."
    ),
    "udp-send-errors": "Raise net.core.wmem_max and net.core.wmem_default (sysctl).",
}
"""Code → what to do. {place} is where it was seen; others are part of the evidence."""


def found(code: str, severity: Severity, place: str, summary: str, **evidence: Any) -> Finding:
    """A finding about a place: a file and its line, a container, a port. None is no evidence."""
    told = {name: value for name, value in evidence.items() if value not in (None, "")}
    fix = FIXES[code].format_map({"place": place, **told})
    return Finding(code, severity, place, summary, fix, evidence=told)
