"""The self-signed certificate that the edge starts with.

HAProxy doesn't start without a certificate, and no CA issues one before HAProxy answers the
challenge on port 80. Nobody trusts the placeholder, and a check reports it under its own name.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from turnctl.diagnosis.placeholder import ISSUER

__all__ = ["placeholder"]

LIFETIME = datetime.timedelta(days=3650)
"""Long: `turnctl edge certify` replaces it because of its issuer, not its age."""


def placeholder(domain: str, now: datetime.datetime) -> str:
    """A certificate for the name and its key, PEM, as edge.pem holds them. `now` is in UTC."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not reject it as not yet valid.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (certificate.public_bytes(pem) + private).decode()
