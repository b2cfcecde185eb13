"""TLS: certificates, keys, versions, ciphers, curves."""

from __future__ import annotations

from tests.referee.configuration import TLS, rest

__all__ = ["CONFIGURATIONS"]

ADDRESS = "turns:203.0.113.1:{tls}?transport=tcp"
SIX = "turns:[2001:db8::1]:{tls}?transport=tcp"

CONFIGURATIONS = (
    rest("tls", certificate="good", urls=(TLS, "turns:turn.lab.test:{tls}")),
    rest("tls-address", certificate="address", urls=(ADDRESS, TLS)),
    rest(
        "tls-address6",
        "listening-ip=2001:db8::1",
        certificate="address6",
        urls=(SIX, "turns:six.lab.test:{tls}?transport=tcp"),
    ),
    rest("tls-name-and-address", certificate="name-and-address", urls=(ADDRESS, TLS)),
    rest("tls-name-for-address", certificate="good", urls=(ADDRESS,)),
    *(
        rest(f"tls-{kind}", certificate=kind)
        for kind in (
            "mismatch",
            "wildcard",
            "wildcard-too-deep",
            "wildcard-partial",
            "common-name-alone",
            "common-name-beside-others",
            "expired",
            "not-yet-valid",
            "expires-soon",
            "ten-years",
            "untrusted",
            "self-signed",
            "chain",
            "chain-incomplete",
            "chain-reversed",
            "chain-with-root",
            "key-mismatch",
            "rsa-2048",
            "rsa-1024",
            "p384",
            "p521",
            "ed25519",
            "sha1",
            "client-alone",
            "no-usage",
            "authority-as-server",
            "key-agreement-alone",
            "critical-unknown",
            "two-names",
            "empty-subject",
            "dns-address",
        )
    ),
    rest("tls13-alone", "no-tlsv1_2", certificate="good", versions=("4.18.0",)),
    rest("tls-cipher-chacha", "cipher-list=ECDHE-ECDSA-CHACHA20-POLY1305", certificate="good"),
    rest("tls-cipher-null", "cipher-list=NULL:@SECLEVEL=0", certificate="good"),
    rest("tls-cipher-garbage", "cipher-list=STRONG-ONES", certificate="good"),
    rest("tls-cipher-cbc", "cipher-list=ECDHE-RSA-AES128-SHA", certificate="rsa-2048"),
    rest("tls-cipher-rsa", "cipher-list=AES128-GCM-SHA256", certificate="rsa-2048"),
    rest("tls-cipher-dhe", "cipher-list=DHE-RSA-AES128-GCM-SHA256", certificate="rsa-2048"),
    rest("tls-cipher-ccm", "cipher-list=ECDHE-ECDSA-AES128-CCM8", certificate="good"),
    rest("tls-curve-p384", "ec-curve-name=secp384r1", certificate="good"),
    rest("tls-curve-p521", "ec-curve-name=secp521r1", certificate="good"),
    rest("tls-curve-k256", "ec-curve-name=secp256k1", certificate="good"),
    rest("tls-curve-garbage", "ec-curve-name=round", certificate="good"),
    rest("tls-asks-for-a-client-certificate", "CA-file={root}", certificate="good"),
    rest("tls-key-password-missing", certificate="key-encrypted"),
    rest("tls-key-password", "pkey-pwd=open sesame", certificate="key-encrypted"),
    rest(
        "tls-on-the-plain-port",
        certificate="good",
        urls=("turns:turn.lab.test:{port}?transport=tcp",),
    ),
)
