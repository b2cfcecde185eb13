"""TLS to a TURN server: the context, the certificate, and why a handshake failed."""

from __future__ import annotations

import contextlib
import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turnctl.wire.errors import TlsFailed, TlsProblem

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "Certificate",
    "chain_length",
    "chain_names",
    "context",
    "failure",
    "prepare",
    "read_certificate",
]

# X509_V_ERR_… of OpenSSL's x509_vfy.h, as Python gives them in `verify_code`.
_EXPIRED = {9, 10}  # not yet valid, has expired
_WRONG_NAME = 62
_WRONG_ADDRESS = 64
_NO_ISSUER = {20, 21}  # unable to get the issuer's certificate, to verify the first one

CIPHERS = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
    ":AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-SHA:AES256-SHA"
)
"""Exactly what Chromium and Firefox both offer for TLS 1.2. With more (DHE, CCM) the check would
connect where browsers can't. The ciphers of TLS 1.3 are on too."""

_OLD_VERSION = ("UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW")
"""Parts of OpenSSL's reasons if the other side has nothing newer than TLS 1.1."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """The facts of the server's own certificate that a report shows."""

    names: tuple[str, ...]
    issuer: str
    names_its_issuer: bool
    """Whether it says where its issuer's certificate is (RFC 5280 section 4.2.2.1). Certificates of
    public CAs do; those of private CAs don't."""
    not_after: datetime.datetime
    unfit: str = ""
    """Why a browser rejects it although it is trusted; OpenSSL accepts it."""

    def days_left(self, now: float) -> float:
        """Days from `now` (Unix time) until it expires, negative if it has expired."""
        return (self.not_after.timestamp() - now) / 86_400


def context(ca: Path | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """A client's context like a browser's; `ca` is a PEM bundle to use instead of the system's.

    Raises OSError (ssl.SSLError is one) if the bundle can't be used.
    """
    if verify or ca:
        made = ssl.create_default_context(cafile=str(ca) if ca else None)
    else:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the system's bundle takes 30 ms to load
    made.set_ciphers(CIPHERS)
    # Browsers look for the name only among the alternative names.
    made.hostname_checks_common_name = False
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def failure(error: Exception, patience: float) -> TlsFailed:
    """The problem, by its name, behind an exception from a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        problem: TlsProblem = "untrusted"
        if error.verify_code in _EXPIRED:
            problem = "expired"
        elif error.verify_code == _WRONG_NAME:
            problem = "name-mismatch"
        elif error.verify_code == _WRONG_ADDRESS:
            problem = "ip-literal"
        elif error.verify_code in _NO_ISSUER:
            return TlsFailed("untrusted", error.verify_message, issuer_missing=True)
        return TlsFailed(problem, error.verify_message)
    if isinstance(error, TimeoutError):
        return TlsFailed(
            "refused", f"the TLS handshake did not finish within {patience:.1f} s", endless=True
        )
    if isinstance(error, ssl.SSLError):
        if any(word in (error.reason or "") for word in _OLD_VERSION):
            return TlsFailed("old-version", _words(error))
        return TlsFailed("refused", _words(error))
    return TlsFailed(
        "refused", f"{str(error) or 'the server closed the connection'} during the TLS handshake"
    )


def chain_length(ssl_object: ssl.SSLObject) -> int:
    """How many certificates the server sent. Before Python 3.13 only the inner object has them."""
    inner: Any = getattr(ssl_object, "_sslobj", ssl_object)
    return len(inner.get_unverified_chain() or ())


def chain_names(ssl_object: ssl.SSLObject) -> tuple[str, ...]:
    """Subjects and issuers of the chain that the server sent and of the chain that was verified."""
    from cryptography import x509

    inner: Any = getattr(ssl_object, "_sslobj", ssl_object)
    chains = [inner.get_unverified_chain() or (), inner.get_verified_chain() or ()]
    names: dict[str, None] = {}
    for one in (one for chain in chains for one in chain):
        raw = one if isinstance(one, bytes) else one.public_bytes(2)  # ENCODING_DER
        with contextlib.suppress(ValueError):
            certificate = x509.load_der_x509_certificate(raw)
            for name in (certificate.subject, certificate.issuer):
                names[name.rfc4514_string()] = None
    return tuple(names)


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")


def prepare() -> None:
    """Import what parses certificates. It takes 30 ms, and only TLS URLs need it."""
    import cryptography.x509  # noqa: F401


def read_certificate(der: bytes) -> Certificate | None:
    """Parse a DER certificate; None if that fails."""
    from cryptography import x509
    from cryptography.x509.oid import AuthorityInformationAccessOID as Access
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_der_x509_certificate(der)
        names: tuple[str, ...] = ()
        try:
            san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            names = tuple(str(name.value) for name in san.value)
        except x509.ExtensionNotFound:
            names = tuple(
                str(attribute.value)
                for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            )
        names_issuer = False
        with contextlib.suppress(x509.ExtensionNotFound):
            access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
            names_issuer = any(a.access_method == Access.CA_ISSUERS for a in access.value)
        issuer = certificate.issuer.rfc4514_string()
        return Certificate(
            names, issuer, names_issuer, certificate.not_valid_after_utc, _unfit(certificate)
        )
    except ValueError:
        return None


def _unfit(certificate: x509.Certificate) -> str:
    """Why Chromium or Firefox rejects a certificate that OpenSSL accepts (both were tried)."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return f"its key is on the curve {key.curve.name}; Chromium accepts P-256 and P-384"
    elif not isinstance(key, rsa.RSAPublicKey):
        return "its key is neither RSA nor ECDSA, and browsers accept no other"
    with contextlib.suppress(x509.ExtensionNotFound):
        if certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "it is a CA's certificate (CA:TRUE), which Firefox rejects for a server"
    with contextlib.suppress(x509.ExtensionNotFound):
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        if not usage.digital_signature:
            return "its key usage does not include digital signatures, which Chromium requires"
    return ""
