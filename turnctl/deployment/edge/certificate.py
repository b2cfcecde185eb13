"""A certificate with its chain and its key, as the edge serves it. Pure: PEM in, values out.

A certificate that is rejected here never reaches the edge, so the working one stays in use.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from turnctl.diagnosis.placeholder import ISSUER

__all__ = ["Bad", "Certificate", "fingerprint", "flaw", "read", "renewal"]

RENEWAL = datetime.timedelta(days=30)
"""Before expiry, as Let's Encrypt recommends for 90-day certificates. Shorter ones are renewed when
a third of their lifetime is left."""
LIFETIME_SHARE = 3


class Bad(ValueError):
    """This can't be served as a certificate. The text says why."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain, the server's own certificate first, and its key."""

    pem: str = field(repr=False)
    """All parts, without blank lines: HAProxy's runtime API takes one for the end."""
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
    """SHA-256 in hexadecimal, as OpenSSL and browsers show it but without colons."""
    return hashlib.sha256(der).hexdigest()


def read(chain: bytes, key: bytes) -> Certificate:
    """Parse PEM and check that the key belongs to the first certificate. Raises Bad."""
    try:
        certificates = x509.load_pem_x509_certificates(chain)
        own = certificates[0]
        names = _names(own)
    except ValueError as error:
        raise Bad("has no PEM certificate") from error
    private = _private_key(key)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = serialization.Encoding.DER
    if own.public_key().public_bytes(der, spki) != private.public_key().public_bytes(der, spki):
        raise Bad(
            f"the key doesn't belong to the first certificate ({', '.join(names) or 'no name'}). "
            "The server's own certificate must come first, then its issuers"
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
    """Why browsers that ask for `domain` would reject it, None if they wouldn't.

    Whether they trust the issuer isn't checked: it may be a company's own CA.
    """
    if certificate.ends <= now:
        return f"expired on {certificate.ends:%Y-%m-%d %H:%M} UTC"
    if certificate.starts > now:
        return f"isn't valid before {certificate.starts:%Y-%m-%d %H:%M} UTC"
    if not any(_matches(name, domain) for name in certificate.names):
        return f"is for {', '.join(certificate.names) or 'no name'}, not for {domain}"
    return None


def renewal(certificate: Certificate, chance: float) -> datetime.datetime:
    """When to renew: 30 days before expiry or when a third of the lifetime is left, whichever is
    later, and up to a tenth of that time sooner by `chance` (0 to 1), so that hosts don't all ask
    at once.
    """
    ahead = min(RENEWAL, (certificate.ends - certificate.starts) / LIFETIME_SHARE)
    return certificate.ends - ahead * (1 + 0.1 * chance)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names. Browsers check nothing else (RFC 9525, section 6.3)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.get_values_for_type(x509.DNSName))


def _private_key(key: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(key, password=None)
    except TypeError as error:
        raise Bad("the private key has a passphrase; give it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Bad("has no PEM private key") from error


def _matches(pattern: str, name: str) -> bool:
    """A wildcard matches exactly the first label (RFC 9525, section 6.3)."""
    pattern, name = pattern.lower(), name.lower()
    first, _, rest = pattern.partition(".")
    if first == "*":
        return name.partition(".")[2] == rest
    return pattern == name
