"""A certificate with its chain and its key, as the edge serves it: read, judged, written down.

Pure: PEM in, values and sentences out. What is refused here never reaches the edge, so that a wrong
file leaves the working certificate where it is.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from turnctl.deployment.edge.issuer import ISSUER

__all__ = ["Bad", "Certificate", "fingerprint", "flaw", "read", "renewal"]

RENEWAL = datetime.timedelta(days=30)
"""Before the end, as Let's Encrypt recommends for certificates of 90 days; of shorter ones a third
of the lifetime."""
LIFETIME_SHARE = 3


class Bad(ValueError):
    """What was given is no certificate that can be served; the text says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain, the server's own certificate first, and its key."""

    pem: str = field(repr=False)
    """All of it without blank lines, which HAProxy's runtime API takes for the end."""
    names: tuple[str, ...]
    issuer: str
    starts: datetime.datetime
    ends: datetime.datetime
    fingerprint: str

    @property
    def is_placeholder(self) -> bool:
        return ISSUER in self.issuer

    def days_left(self, now: datetime.datetime) -> float:
        return (self.ends - now) / datetime.timedelta(days=1)


def fingerprint(der: bytes) -> str:
    """SHA-256 in hexadecimal, as OpenSSL and browsers show it, without the colons."""
    return hashlib.sha256(der).hexdigest()


def read(chain: bytes, key: bytes) -> Certificate:
    """Take PEM apart and see that the key belongs to the first certificate. Raises Bad."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
        own = certificates[0]
        names = _names(own)
    except ValueError as error:
        raise Bad("holds no certificate in PEM form") from error
    private = _private_key(key)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = serialization.Encoding.DER
    if own.public_key().public_bytes(der, spki) != private.public_key().public_bytes(der, spki):
        raise Bad(
            f"the key does not belong to its first certificate ({', '.join(names) or 'no name'}); "
            "the server's own certificate comes first, its issuers after it"
        )
    pem = serialization.Encoding.PEM
    parts = [one.public_bytes(pem) for one in certificates]
    parts.append(
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Certificate(
        b"".join(parts).decode(),
        names,
        own.issuer.rfc4514_string(),
        own.not_valid_before_utc,
        own.not_valid_after_utc,
        fingerprint(own.public_bytes(der)),
    )


def flaw(certificate: Certificate, domain: str, now: datetime.datetime) -> str | None:
    """Why browsers that ask for `domain` would refuse it, None when they would not.

    Whether they trust its issuer cannot be told here: it may be a company's own.
    """
    if certificate.ends <= now:
        return f"expired on {certificate.ends:%Y-%m-%d %H:%M} UTC"
    if certificate.starts > now:
        return f"is valid only from {certificate.starts:%Y-%m-%d %H:%M} UTC on"
    if not any(_matches(name, domain) for name in certificate.names):
        return f"is for {', '.join(certificate.names) or 'no name'}, not for {domain}"
    return None


def renewal(certificate: Certificate, chance: float) -> datetime.datetime:
    """When to renew: 30 days before the end or at a third of the lifetime, whichever is later, and
    up to a tenth of that time sooner by `chance` (0 to 1), so that hosts do not ask all at once.
    """
    ahead = min(RENEWAL, (certificate.ends - certificate.starts) / LIFETIME_SHARE)
    return certificate.ends - ahead * (1 + 0.1 * chance)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names: browsers look at nothing else (RFC 9525, section 6.3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))


def _private_key(key: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(key, password=None)
    except TypeError as error:
        raise Bad("the key is protected by a passphrase; give it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Bad("holds no private key in PEM form") from error


def _matches(pattern: str, name: str) -> bool:
    """A wildcard stands for the whole first label and nothing else (RFC 9525, section 6.3)."""
    pattern, name = pattern.lower(), name.lower()
    first, _, rest = pattern.partition(".")
    if first == "*":
        return name.partition(".")[2] == rest
    return pattern == name
