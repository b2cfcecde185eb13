"""TLS: contexts, the named cause of a failed handshake, what a certificate tells."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from tests.lab.certs import Authority
from turnctl.wire import tls

DAY = 86_400.0
PEM_END = "-----END CERTIFICATE-----\n"


def refused_certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    return error


def no_tls() -> ssl.SSLError:
    error = ssl.SSLError(1, "wrong version number (_ssl.c:1006)")
    error.reason = "WRONG_VERSION_NUMBER"
    return error


@pytest.mark.parametrize(
    ("error", "problem", "text"),
    [
        (refused_certificate(9), "expired", "what OpenSSL says"),  # not yet valid
        (refused_certificate(10), "expired", "what OpenSSL says"),
        (refused_certificate(62), "name-mismatch", "what OpenSSL says"),
        (refused_certificate(64), "name-mismatch", "what OpenSSL says"),
        (refused_certificate(18), "untrusted", "what OpenSSL says"),  # self-signed
        (refused_certificate(20), "untrusted", "what OpenSSL says"),  # no issuer
        (TimeoutError(), "refused", "the TLS handshake was not over in 3.0 s"),
        (no_tls(), "refused", "wrong version number"),
        (ConnectionResetError(104, "reset"), "refused", "[Errno 104] reset during the TLS"),
        (ConnectionAbortedError(), "refused", "the server closed the connection during the TLS"),
    ],
)
def test_why_a_handshake_failed(error: Exception, problem: str, text: str) -> None:
    """Each exception from a handshake has its problem and its words."""
    failed = tls.failure(error, 3.0)
    assert problem == failed.problem
    assert text in str(failed)


def test_a_context_verifies() -> None:
    """By default the certificate and the name are checked, and old versions are not spoken."""
    made = tls.context()
    assert (ssl.CERT_REQUIRED, True) == (made.verify_mode, made.check_hostname)
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_context_that_does_not() -> None:
    """Without verification any certificate will do."""
    made = tls.context(verify=False)
    assert (ssl.CERT_NONE, False) == (made.verify_mode, made.check_hostname)


def test_a_bundle_is_used_instead_of_the_systems(authority: Authority) -> None:
    """With `ca` that root alone is trusted."""
    assert 1 == tls.context(authority.root).cert_store_stats()["x509_ca"]


def test_a_bundle_that_cannot_be_used(tmp_path: Path) -> None:
    """A missing file and one without certificates are OSErrors."""
    with pytest.raises(FileNotFoundError):
        tls.context(tmp_path / "missing")
    (tmp_path / "text").write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        tls.context(tmp_path / "text")


def test_what_a_certificate_tells(authority: Authority) -> None:
    """Its names, its issuer, and the days that are left."""
    issued = authority.issue(["turn.example.org", "192.0.2.1"], ends=dt.timedelta(days=30))
    der = ssl.PEM_cert_to_DER_cert(issued.chain.read_text().partition(PEM_END)[0] + PEM_END)
    read = tls.read_certificate(der)
    assert read is not None
    assert (("turn.example.org", "192.0.2.1"), "CN=Signalpost test root") == (
        read.names,
        read.issuer,
    )
    ends = read.not_after.timestamp()
    assert (2.0, -1.0) == (read.days_left(ends - 2 * DAY), read.days_left(ends + DAY))


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x01", b"garbage"])
def test_bytes_that_are_no_certificate(der: bytes) -> None:
    """What cannot be taken apart is None: the evidence is missing, the check goes on."""
    assert tls.read_certificate(der) is None
