"""The options of turnserver.conf, and which versions of coturn have them."""

from __future__ import annotations

import enum

from turnctl.coturn.versions import Version

__all__ = ["BOOLEAN", "KNOWN", "NEWEST", "SHORT", "VALUELESS", "Support", "support", "truth"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# How 4.6.1 and 4.18.0 react to each option, tried one by one. The Prometheus exporter's options
# depend on how coturn was built: its log says.
_BOTH = _names(
    """
    CA-file Verbose acme-redirect allocation-default-address-family allow-loopback-peers
    allowed-peer-ip alt-listening-port alt-tls-listening-port alternate-server aux-server
    bps-capacity cert channel-lifetime check-origin-consistency cipher-list cli-ip
    cli-max-output-sessions cli-password cli-port daemon db denied-peer-ip dh-file dh1066 dh566
    ec-curve-name external-ip fingerprint keep-address-family listening-device listening-ip
    listening-port log-binding log-file lt-cred-mech max-allocate-lifetime max-allocate-timeout
    max-bps max-port min-port mobility mongo-userdb mysql-userdb new-log-timestamp
    new-log-timestamp-format no-auth no-auth-pings no-cli no-dynamic-ip-list no-dynamic-realms
    no-multicast-peers no-rfc5780 no-software-attribute no-stdout-log no-stun no-tcp no-tcp-relay
    no-tls no-tlsv1_2 no-udp no-udp-relay oauth permission-lifetime pidfile pkey pkey-pwd
    proc-group proc-user prometheus prometheus-address prometheus-path prometheus-port
    prometheus-username-labels psql-userdb realm redis-statsdb redis-userdb relay-device relay-ip
    relay-threads response-origin-only-with-rfc5780 rest-api-separator secret-key-file
    secure-stun server-name server-relay simple-log sql-userdb stale-nonce static-auth-secret
    stun-only syslog syslog-facility tcp-proxy-port tls-alternate-server tls-listening-port
    total-quota udp-self-balance use-auth-secret user user-quota userdb verbose web-admin
    web-admin-ip web-admin-listen-on-workers web-admin-port
    """
)
OLDEST, NEWEST = Version(4, 6, 1), Version(4, 18, 0)
"""The versions tried. Which options a version between them has isn't always known."""
_UNTIL = {
    "ne": NEWEST,
    "no-dtls": Version(4, 17),
    "no-sslv2": NEWEST,
    "no-sslv3": NEWEST,
    "no-stun-backward-compatibility": Version(4, 7),
    "no-tlsv1": Version(4, 7),
    "no-tlsv1_1": Version(4, 7),
    "prod": Version(4, 7),
    "secret-ts-exp-time": NEWEST,
}
"""Option → the first version that is known to lack it."""
_SINCE_OLDEST = _names(
    """
    cli cpus drain-min-allocations drop-invalid-packets-log dtls include-reason-string
    log-min-level multiplex-peer multiplex-peer-max-peers multiplex-peer-port raw-public-keys
    respond-http-unsupported rfc3489-compatibility rfc5766-channel-numbers rfc5780 sock-buf-size
    software-attribute stateless-nonce stateless-nonce-secret stun-backward-compatibility
    tcp-alternate-server tlsv1 tlsv1_1 udp-alternate-server udp-gso udp-recvmmsg udp-recvmmsg-log
    udp-sendmmsg-log unauthorized-ratelimit unauthorized-ratelimit-rps
    """
)
KNOWN = _BOTH | _UNTIL.keys() | _SINCE_OLDEST

BOOLEAN = _names(
    """
    Verbose allow-loopback-peers check-origin-consistency cli dh1066 dh566
    drop-invalid-packets-log dtls fingerprint include-reason-string keep-address-family
    log-binding lt-cred-mech mobility new-log-timestamp no-auth no-cli no-dtls no-multicast-peers
    no-software-attribute no-stdout-log no-stun no-stun-backward-compatibility no-tcp no-tcp-relay
    no-tls no-tlsv1 no-tlsv1_1 no-tlsv1_2 no-udp no-udp-relay oauth prod raw-public-keys
    respond-http-unsupported response-origin-only-with-rfc5780 rfc3489-compatibility
    rfc5766-channel-numbers secure-stun server-relay simple-log software-attribute stateless-nonce
    stun-backward-compatibility stun-only syslog tlsv1 tlsv1_1 udp-gso udp-recvmmsg
    udp-recvmmsg-log udp-self-balance udp-sendmmsg-log unauthorized-ratelimit verbose web-admin
    web-admin-listen-on-workers
    """
)
"""Options that make coturn stop if their value is neither on nor off. Tried one by one."""

VALUELESS = _names(
    """
    multiplex-peer no-auth-pings no-dynamic-ip-list no-dynamic-realms no-rfc5780 prometheus
    prometheus-username-labels rfc5780 use-auth-secret
    """
)
"""Options that any value switches on, even `use-auth-secret=no`."""

SHORT = {
    "A": "allocation-default-address-family", "B": "bps-capacity", "C": "rest-api-separator",
    "E": "relay-ip", "J": "mongo-userdb", "K": "keep-address-family", "L": "listening-ip",
    "M": "mysql-userdb", "N": "redis-userdb", "O": "redis-statsdb", "Q": "total-quota",
    "S": "stun-only", "V": "Verbose", "X": "external-ip", "a": "lt-cred-mech", "b": "userdb",
    "d": "listening-device", "e": "psql-userdb", "f": "fingerprint", "i": "relay-device",
    "l": "log-file", "m": "relay-threads", "o": "daemon", "p": "listening-port", "q": "user-quota",
    "r": "realm", "s": "max-bps", "u": "user", "v": "verbose", "z": "no-auth",
}  # fmt: skip
"""The short options of the command line."""


def truth(value: str) -> bool | None:
    """How coturn reads a boolean's value; None if coturn stops at it. The first character decides,
    except in "on" and "off"."""
    if not value or value[0] in "yYtT123456789" or value in {"on", "On", "ON"}:
        return True
    return False if value[0] in "0nNfF" or value in {"off", "Off", "OFF"} else None


class Support(enum.Enum):
    """Whether a version of coturn has an option."""

    KNOWN = "it has it"
    DROPPED = "an older version had it"
    LATER = "a newer version has it"
    UNKNOWN = "no version has it"
    UNTRIED = "this version wasn't tried"


def support(option: str, version: Version | None) -> Support:
    """Whether this version has the option. None is a version that isn't known."""
    if option in _BOTH:
        return Support.KNOWN
    if option in _UNTIL:
        if version is not None and version >= _UNTIL[option]:
            return Support.DROPPED
        return Support.KNOWN if version is not None and version <= OLDEST else Support.UNTRIED
    if option in _SINCE_OLDEST:
        if version is not None and version >= NEWEST:
            return Support.KNOWN
        return Support.LATER if version is not None and version <= OLDEST else Support.UNTRIED
    return Support.UNKNOWN if version is None or version <= NEWEST else Support.UNTRIED
