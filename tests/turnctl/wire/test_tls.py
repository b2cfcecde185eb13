"""TLS: contexts, the named cause of a failed handshake, what a certificate tells."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest

from tests.lab.certs import Authority, Certificate
from turnctl.wire import tls

DAY = 86_400.0
PEM_END = "-----END CERTIFICATE-----\n"


def refused_certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code, error.verify_message = code, "what OpenSSL says"
    return error


def no_handshake(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"{reason} (_ssl.c:1006)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "problem", "text"),
    [
        (refused_certificate(9), "expired", "what OpenSSL says"),  # not yet valid
        (refused_certificate(10), "expired", "what OpenSSL says"),
        (refused_certificate(62), "name-mismatch", "what OpenSSL says"),
        (refused_certificate(64), "ip-literal", "what OpenSSL says"),
        (refused_certificate(18), "untrusted", "what OpenSSL says"),  # self-signed
        (refused_certificate(20), "untrusted", "what OpenSSL says"),  # no issuer
        (TimeoutError(), "refused", "the TLS handshake did not finish within 3.0 s"),
        (no_handshake("WRONG_VERSION_NUMBER"), "refused", "wrong version number"),
        (no_handshake("UNSUPPORTED_PROTOCOL"), "old-version", "unsupported protocol"),
        (
            no_handshake("TLSV1_ALERT_PROTOCOL_VERSION"),
            "old-version",
            "tlsv1 alert protocol version",
        ),
        (ConnectionResetError(104, "reset"), "refused", "[Errno 104] reset during the TLS"),
        (ConnectionAbortedError(), "refused", "the server closed the connection during the TLS"),
    ],
)
def test_why_a_handshake_failed(error: Exception, problem: str, text: str) -> None:
    """Each exception from a handshake has its problem and its words."""
    failed = tls.failure(error, 3.0)
    assert problem == failed.problem
    assert text in str(failed)


@pytest.mark.parametrize(
    ("code", "missing"), [(18, False), (19, False), (20, True), (21, True), (10, False)]
)
def test_an_issuer_that_is_missing(code: int, missing: bool) -> None:
    """Told from a certificate that signs itself, which no intermediate would mend."""
    assert missing is tls.failure(refused_certificate(code), 3.0).issuer_missing


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


def leaf(certificate: Certificate) -> tls.Certificate | None:
    """What the first certificate of a file tells."""
    pem = certificate.chain.read_text().partition(PEM_END)[0] + PEM_END
    return tls.read_certificate(ssl.PEM_cert_to_DER_cert(pem))


def test_what_a_certificate_tells(authority: Authority) -> None:
    """Its names, its issuer, and the days that are left."""
    read = leaf(authority.issue(["turn.example.org", "192.0.2.1"], ends=dt.timedelta(days=30)))
    assert read is not None
    assert (("turn.example.org", "192.0.2.1"), "CN=Signalpost test root") == (
        read.names,
        read.issuer,
    )
    ends = read.not_after.timestamp()
    assert (2.0, -1.0) == (read.days_left(ends - 2 * DAY), read.days_left(ends + DAY))


def test_certificates_that_name_their_issuer(authority: Authority, tmp_path: Path) -> None:
    """Those of public CAs tell where their issuer's certificate is, private ones do not."""
    alone, _ = Authority(tmp_path).issue_by_intermediate(["turn.example.org"])
    private, public = leaf(authority.issue(["turn.example.org"])), leaf(alone)
    assert private is not None
    assert public is not None
    assert (False, True) == (private.names_its_issuer, public.names_its_issuer)


def shaken_hands(certificate: Certificate) -> ssl.SSLObject:
    """A client's side of a handshake with a server that has this certificate, in memory."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate.chain, certificate.key)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls.context(verify=False).wrap_bio(to_client, to_server)
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client


def test_the_length_of_a_chain(tmp_path: Path) -> None:
    """The server's certificate alone is one, with its intermediate there are two."""
    alone, whole = Authority(tmp_path).issue_by_intermediate(["turn.example.org"])
    assert [1, 2] == [tls.chain_length(shaken_hands(one)) for one in (alone, whole)]


@pytest.mark.parametrize("der", [b"", b"\x30\x03\x02\x01\x01", b"garbage"])
def test_bytes_that_are_no_certificate(der: bytes) -> None:
    """What cannot be taken apart is None: the evidence is missing, the check goes on."""
    assert tls.read_certificate(der) is None
