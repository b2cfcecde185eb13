"""Certificates made for a test: a root of its own, and server certificates with chosen faults."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

__all__ = ["Authority", "Certificate"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM files: the certificate with its chain, and its key."""

    chain: Path
    key: Path


@dataclass(slots=True)
class Authority:
    """A root certificate with its files in `directory`; `root` is what a client has to trust."""

    directory: Path
    _key: ec.EllipticCurvePrivateKey = field(init=False, repr=False)
    _certificate: x509.Certificate = field(init=False, repr=False)
    _issued: int = 0

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        name = _name("Signalpost test root")
        public = self._key.public_key()
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=400))
            .not_valid_after(now + dt.timedelta(days=400))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def root(self) -> Path:
        return self.directory / "root.pem"

    @property
    def subject(self) -> x509.Name:
        return self._certificate.subject

    def key_pem(self) -> bytes:
        """The root's private key."""
        return self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """The certificate that the builder describes, signed by this root, whatever it says."""
        return builder.sign(self._key, hashes.SHA256())

    def issue(
        self,
        names: Sequence[str],
        *,
        starts: dt.timedelta = dt.timedelta(days=-200),
        ends: dt.timedelta = dt.timedelta(days=90),
    ) -> Certificate:
        """A server certificate for DNS names and IP addresses.

        `starts` and `ends` count from now: a negative `ends` makes it expired.
        """
        certificate, key = self._certify(names, starts, ends, self._certificate.subject, self._key)
        return self._store(key, certificate)

    def issue_by_intermediate(self, names: Sequence[str]) -> tuple[Certificate, Certificate]:
        """The same server certificate twice, from an intermediate of this root: alone, and with
        the intermediate in its chain. As public CAs do, it tells where its issuer is found.
        """
        between = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        name = _name("Signalpost test intermediate")
        intermediate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._certificate.subject)
            .public_key(between.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=300))
            .not_valid_after(now + dt.timedelta(days=300))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(between.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        days = dt.timedelta(days=-200), dt.timedelta(days=90)
        certificate, key = self._certify(names, *days, name, between, tells_issuer=True)
        return self._store(key, certificate), self._store(key, certificate, intermediate)

    def _certify(
        self,
        names: Sequence[str],
        starts: dt.timedelta,
        ends: dt.timedelta,
        issuer: x509.Name,
        issuer_key: ec.EllipticCurvePrivateKey,
        *,
        tells_issuer: bool = False,
    ) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        alternatives = [_alternative(name) for name in names]
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + starts)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(signer, critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
        )
        if tells_issuer:
            where = x509.UniformResourceIdentifier("http://ca.test/intermediate.der")
            access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, where)
            builder = builder.add_extension(
                x509.AuthorityInformationAccess([access]), critical=False
            )
        return builder.sign(issuer_key, hashes.SHA256()), key

    def _store(self, key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate) -> Certificate:
        self._issued += 1
        issued = Certificate(
            self.directory / f"server{self._issued}.pem",
            self.directory / f"server{self._issued}.key",
        )
        pem = serialization.Encoding.PEM
        issued.chain.write_bytes(b"".join(one.public_bytes(pem) for one in chain))
        issued.key.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return issued


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
