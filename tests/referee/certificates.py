"""Server certificates of many kinds, right and wrong, from the lab's root."""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.lab.certs import Authority, Certificate

__all__ = ["make"]

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
NAME = "turn.lab.test"
PASSWORD = b"open sesame"


@dataclass(frozen=True, slots=True)
class _Workshop:
    """Where certificates of one kind are made: the root that clients trust, and one they do not."""

    authority: Authority
    stranger: Authority
    directory: Path
    host: str

    def leaf(
        self,
        *,
        names: Sequence[str] | None = None,
        common: str | None = NAME,
        key: Key | None = None,
        starts: int = -10,
        ends: int = 60,
        purposes: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
        usage: x509.KeyUsage | None = None,
        ca: bool = False,
        extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
        signer: Callable[[x509.CertificateBuilder], x509.Certificate] | None = None,
        issuer: x509.Name | None = None,
    ) -> Certificate:
        names = [self.host] if names is None else names
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else []
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(issuer or self.authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=starts))
            .not_valid_after(now + dt.timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            san = x509.SubjectAlternativeName([_alternative(name) for name in names])
            builder = builder.add_extension(san, critical=not attributes)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        if usage:
            builder = builder.add_extension(usage, critical=True)
        for extension, critical in extra:
            builder = builder.add_extension(extension, critical=critical)
        return self.store(key, (signer or self.authority.sign)(builder))

    def store(self, key: Key, *chain: x509.Certificate, password: bytes = b"") -> Certificate:
        made = Certificate(self.directory / "chain.pem", self.directory / "key.pem")
        pem = serialization.Encoding.PEM
        made.chain.write_bytes(b"".join(one.public_bytes(pem) for one in chain))
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            encryption = serialization.BestAvailableEncryption(password)
        made.key.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption))
        return made

    def self_signed(self, digest: hashes.HashAlgorithm | None = None) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        return self.leaf(
            key=key, issuer=name, signer=lambda builder: builder.sign(key, hashes.SHA256())
        )

    def chain(self, order: Sequence[int]) -> Certificate:
        """Leaf, intermediate and root, those of `order` in its order."""
        _, whole = self.authority.issue_by_intermediate([NAME])
        every = x509.load_pem_x509_certificates(whole.chain.read_bytes())
        every += x509.load_pem_x509_certificates(self.authority.root.read_bytes())
        key = serialization.load_pem_private_key(whole.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return self.store(key, *(every[one] for one in order))

    def swapped(self) -> Certificate:
        """A certificate with a key of another."""
        made = self.leaf()
        other = ec.generate_private_key(ec.SECP256R1())
        made.key.write_bytes(
            other.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made

    def encrypted(self) -> Certificate:
        made = self.leaf()
        key = serialization.load_pem_private_key(made.key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        chain = x509.load_pem_x509_certificates(made.chain.read_bytes())
        return self.store(key, *chain, password=PASSWORD)

    def sha1(self) -> Certificate:
        """Signed with SHA-1 by the openssl command: the library refuses to."""
        made = self.leaf(key=rsa.generate_private_key(65537, 2048))
        root_key = self.directory / "sha1-root.key"
        root_key.write_bytes(self.authority.key_pem())
        request, config = self.directory / "request.pem", self.directory / "extensions"
        config.write_text(f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n")
        subject = ["-subj", f"/CN={NAME}"]
        subprocess.run(
            ["openssl", "req", "-new", "-key", str(made.key), *subject, "-out", str(request)],
            check=True,
            capture_output=True,
        )
        signs = ["-CA", str(self.authority.root), "-CAkey", str(root_key), "-CAcreateserial"]
        files = ["-in", str(request), "-extfile", str(config), "-out", str(made.chain)]
        subprocess.run(
            ["openssl", "x509", "-req", "-sha1", "-days", "60", *signs, *files],
            check=True,
            capture_output=True,
        )
        return made


def _usage(**said: bool) -> x509.KeyUsage:
    fields = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{field: said.get(field, False) for field in fields})


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.removeprefix("dns:"))


_UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

_KINDS: dict[str, Callable[[_Workshop], Certificate]] = {
    "good": lambda at: at.leaf(),
    "address": lambda at: at.leaf(names=["203.0.113.1"], common="203.0.113.1"),
    "address6": lambda at: at.leaf(names=["2001:db8::1", "six.lab.test"]),
    "name-and-address": lambda at: at.leaf(names=[NAME, "203.0.113.1"]),
    "dns-address": lambda at: at.leaf(names=["dns:203.0.113.1", NAME]),
    "mismatch": lambda at: at.leaf(names=["www.lab.test"], common="www.lab.test"),
    "wildcard": lambda at: at.leaf(names=["*.lab.test"], common="*.lab.test"),
    "wildcard-too-deep": lambda at: at.leaf(names=["*.test"], common="*.test"),
    "wildcard-partial": lambda at: at.leaf(names=["tu*.lab.test"], common="tu*.lab.test"),
    "common-name-alone": lambda at: at.leaf(names=[]),
    "common-name-beside-others": lambda at: at.leaf(names=["www.lab.test"]),
    "expired": lambda at: at.leaf(starts=-90, ends=-1),
    "not-yet-valid": lambda at: at.leaf(starts=2),
    "expires-soon": lambda at: at.leaf(ends=5),
    "ten-years": lambda at: at.leaf(ends=3650),
    "untrusted": lambda at: at.leaf(signer=at.stranger.sign, issuer=at.stranger.subject),
    "self-signed": lambda at: at.self_signed(),
    "chain": lambda at: at.chain([0, 1]),
    "chain-incomplete": lambda at: at.chain([0]),
    "chain-reversed": lambda at: at.chain([1, 0]),
    "chain-with-root": lambda at: at.chain([0, 1, 2]),
    "key-mismatch": lambda at: at.swapped(),
    "rsa-2048": lambda at: at.leaf(key=rsa.generate_private_key(65537, 2048)),
    "rsa-1024": lambda at: at.leaf(key=rsa.generate_private_key(65537, 1024)),  # noqa: S505
    "p384": lambda at: at.leaf(key=ec.generate_private_key(ec.SECP384R1())),
    "p521": lambda at: at.leaf(key=ec.generate_private_key(ec.SECP521R1())),
    "ed25519": lambda at: at.leaf(key=ed25519.Ed25519PrivateKey.generate()),
    "sha1": lambda at: at.sha1(),
    "client-alone": lambda at: at.leaf(purposes=[ExtendedKeyUsageOID.CLIENT_AUTH]),
    "no-usage": lambda at: at.leaf(purposes=None),
    "authority-as-server": lambda at: at.leaf(ca=True),
    "key-agreement-alone": lambda at: at.leaf(usage=_usage(key_agreement=True)),
    "critical-unknown": lambda at: at.leaf(extra=[(_UNKNOWN, True)]),
    "two-names": lambda at: at.leaf(names=["www.lab.test", NAME], common="www.lab.test"),
    "empty-subject": lambda at: at.leaf(common=None),
    "key-encrypted": lambda at: at.encrypted(),
}


def make(
    kind: str, authority: Authority, stranger: Authority, directory: Path, *, host: str = NAME
) -> Certificate:
    """A certificate of this kind for this host with its key, as files in `directory`."""
    return _KINDS[kind](_Workshop(authority, stranger, directory, host))
