"""The trials of coturn's options: each option that touches listening, authentication, relaying or
TLS, in the kinds of values that people write. `tests.lab.options` runs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.options import HOST, OTHER, PASSWORD, SECRET, Trial, configuration, outcome
from turnctl.coturn.versions import parse_version
from turnctl.doctor import lint

__all__ = ["DOCUMENT", "TRIALS", "doctors", "document", "files", "recorded", "tried", "verdict"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "coturn-options.md"

T = Trial
TAKES = f"takes {SECRET!r}"
LISTENS = f"listens on {HOST}:20478/udp+tcp"
RELAYS = f"relays at {HOST}, port 40000-40019"
REALM = "realm turn.example.org"
KNOWS = f"user alice has the password {PASSWORD!r}"
DENIES, ALLOWS = "denies 10.1.2.3, allows 8.8.8.8", "allows 10.1.2.3, allows 8.8.8.8"
TLS = "speaks TLS"
CERT = ("cert=%cert%", "pkey=%key%", "tls-listening-port=20443")
NO_TLS = ("no-tls",)
STATIC = ("static-auth-secret",)


def _secrets() -> Iterator[Trial]:
    one = "static-auth-secret"
    yield T(one, "plain", f"{one}={SECRET}", "secret", TAKES)
    yield T(one, "double quotes", f'{one}="{SECRET}"', "secret", TAKES)
    yield T(one, "double quotes, blanks behind", f'{one}="{SECRET}"  ', "secret", TAKES)
    yield T(one, "blank inside double quotes", f'{one}="{SECRET} "', "secret", TAKES)
    yield T(one, "only the first double quote", f'{one}="{SECRET}', "secret", TAKES)
    yield T(one, "only the last double quote", f'{one}={SECRET}"', "secret", TAKES)
    yield T(one, "single quotes", f"{one}='{SECRET}'", "secret", TAKES)
    yield T(one, "blanks behind", f"{one}={SECRET}   ", "secret", TAKES)
    yield T(one, "tabs behind", f"{one}={SECRET}\t\t", "secret", TAKES)
    yield T(one, "comment behind", f"{one}={SECRET} # text", "secret", TAKES)
    yield T(one, "comment behind double quotes", f'{one}="{SECRET}" # text', "secret", TAKES)
    yield T(one, "number sign inside", f"{one}={SECRET}#b", "secret", f"takes '{SECRET}#b'")
    yield T(one, "number sign first", f"{one}=#{SECRET}", "secret", f"takes '#{SECRET}'")
    yield T(one, "semicolon behind", f"{one}={SECRET};", "secret", TAKES)
    yield T(one, "blanks around =", f"{one} = {SECRET}", "secret", TAKES)
    yield T(one, "no =", f"{one} {SECRET}", "secret", TAKES)
    yield T(one, "two =", f"{one}=={SECRET}", "secret", TAKES)
    yield T(one, "colon for =", f"{one}: {SECRET}", "secret", TAKES)
    yield T(one, "indented", f"  \t{one}={SECRET}", "secret", TAKES)
    yield T(one, "upper case", f"Static-Auth-Secret={SECRET}", "secret", TAKES)
    yield T(one, "dashes", f"--{one}={SECRET}", "secret", TAKES)
    yield T(one, "misspelt", f"static-auth-secrets={SECRET}", "secret", TAKES)
    yield T(one, "CRLF", f"{one}={SECRET}\r", "secret", TAKES)
    yield T(one, "byte order mark", f"\ufeff{one}={SECRET}", "secret", TAKES)
    yield T(one, "blank inside", f"{one}={SECRET[:10]} {SECRET[10:]}", "secret",
            f"takes '{SECRET[:10]} {SECRET[10:]}'")  # fmt: skip
    yield T(one, "UTF-8", f"{one}={SECRET}ü", "secret", f"takes '{SECRET}ü'")
    yield T(one, "not UTF-8", f"{one}={SECRET}ü".encode("latin-1"), "secret", f"takes '{SECRET}ü'")
    long = "L" * 1100
    yield T(one, "longer than 1,023 bytes", f"{one}={long}", "secret",
            "takes one of 1100 characters")  # fmt: skip
    yield T(one, "twice, different", f"{one}={SECRET}\n{one}={SECRET[::-1]}", "secret",
            f"takes {SECRET!r} and {SECRET[::-1]!r}")  # fmt: skip
    yield T(one, "empty", f"{one}=", "secret", TAKES)
    yield T(one, "absent", "# nothing", "asks", "takes the secret's credentials")
    yield T(one, "use-auth-secret without it", "use-auth-secret", "asks",
            "takes the secret's credentials", ("userdb",))  # fmt: skip
    yield T(one, "CR alone", f"{one}={SECRET}\rfingerprint", "secret", TAKES)


def _authentication() -> Iterator[Trial]:
    one, both = "use-auth-secret", "takes the secret's credentials"
    for value in ("", "=yes", "=1", "=10", "=on"):
        yield T(one, value.strip("=") or "alone", f"{one}{value}", "asks", both)
    for value in ("=no", "=0", "=off", "=false"):
        yield T(one, value.strip("="), f"{one}{value}", "asks", "relays for everybody",
                STATIC)  # fmt: skip
    yield T(one, "comment behind", f"{one} # text", "asks", both)
    one, fixed = "lt-cred-mech", "takes the user's credentials"
    user = (f"user=alice:{PASSWORD}",)
    for value in ("", "=yes", "=true", "=1", "=10", "=on", "=On", "=YES"):
        yield T(one, value.strip("=") or "alone", f"{one}{value}", "asks", fixed, STATIC, user)
    yield T(one, "oN", f"{one}=oN", "asks", fixed, STATIC, user)
    yield T(one, "maybe", f"{one}=maybe", "asks", fixed, STATIC, user)
    yield T(one, "comment behind", f"{one} # text", "asks", fixed, STATIC, user)
    yield T(one, "beside a secret", one, "asks", both, advice="auth-mechanisms-mixed")
    yield T(one, "beside a secret and a user", one, "asks",
            "takes the secret's and the user's credentials", (), user)  # fmt: skip
    yield T(one, "absent beside a user", "# nothing", "asks", fixed, STATIC, user)
    yield T(one, "beside no-auth", f"{one}\nno-auth", "asks", fixed, STATIC, user)
    yield T("no-auth", "alone", "no-auth", "asks", both, ("static-auth-secret",))
    yield T("no-auth", "no, behind the secret", "no-auth=no", "asks", both)
    yield T("no-auth", "no, before the secret", f"no-auth=no\nstatic-auth-secret={SECRET}", "asks",
            both, STATIC)  # fmt: skip
    yield T(one, "no, behind the secret", f"{one}=no", "asks", both)
    yield T(one, "no, before the secret", f"{one}=no\nstatic-auth-secret={SECRET}", "asks", both,
            STATIC)  # fmt: skip
    yield T(one, "no, with a user", f"{one}=no", "asks", fixed, STATIC, user)
    one = "user"
    yield T(one, "plain", f"user=alice:{PASSWORD}", "user", KNOWS, STATIC)
    yield T(one, "double quotes", f'user="alice:{PASSWORD}"', "user", KNOWS, STATIC)
    yield T(one, "single quotes", f"user='alice:{PASSWORD}'", "user", KNOWS, STATIC)
    yield T(one, "blanks behind", f"user=alice:{PASSWORD}  ", "user", KNOWS, STATIC)
    yield T(one, "blank behind the colon", f"user=alice: {PASSWORD}", "user", KNOWS, STATIC)
    yield T(one, "blanks around =", f"user = alice:{PASSWORD}", "user", KNOWS, STATIC)
    yield T(one, "comment behind", f"user=alice:{PASSWORD} # text", "user", KNOWS, STATIC)
    yield T(one, "semicolon behind", f"user=alice:{PASSWORD};", "user", KNOWS, STATIC)
    yield T(one, "no colon", f"user=alice {PASSWORD}", "user", KNOWS, STATIC, ("lt-cred-mech",))
    yield T(one, "no name", f"user=:{PASSWORD}", "user", KNOWS, STATIC, ("lt-cred-mech",))
    yield T(one, "= for the colon", f"user=alice={PASSWORD}", "user", KNOWS, STATIC,
            ("lt-cred-mech",))  # fmt: skip
    yield T(one, "empty", "user=", "user", KNOWS, STATIC, ("lt-cred-mech",))
    one = "realm"
    yield T(one, "plain", "realm=turn.example.org", "realm", REALM)
    yield T(one, "double quotes", 'realm="turn.example.org"', "realm", REALM)
    yield T(one, "single quotes", "realm='turn.example.org'", "realm", REALM)
    yield T(one, "blanks behind", "realm=turn.example.org  ", "realm", REALM)
    yield T(one, "comment behind", "realm=turn.example.org # text", "realm", REALM)
    yield T(one, "semicolon behind", "realm=turn.example.org;", "realm", REALM)
    yield T(one, "number sign inside", "realm=a#b", "realm", "realm a#b")
    yield T(one, "empty", "realm=", "realm", REALM)
    yield T(one, "empty double quotes", 'realm=""', "realm", REALM)
    yield T(one, "absent", "# nothing", "realm", REALM)
    yield T(one, "absent with a user", "# nothing", "realm", REALM, STATIC,
            (f"user=alice:{PASSWORD}",))  # fmt: skip
    yield T(one, "twice, different", "realm=a\nrealm=b", "realm", "realm a")
    yield T(one, "twice, the same", "realm=a\nrealm=a", "realm", "realm a")
    yield T(one, "blank inside", "realm=our realm", "realm", "realm our realm")
    yield T("rest-api-separator", "semicolon", "rest-api-separator=;", "asks", both)
    yield T("rest-api-separator", "pipe in quotes", 'rest-api-separator="|"', "asks", both)


def _listening() -> Iterator[Trial]:
    one = "listening-port"
    for kind, value in (
        ("plain", "20478"), ("double quotes", '"20478"'), ("blanks behind", "20478  "),
        ("single quotes", "'20478'"), ("comment behind", "20478 # text"), ("text behind", "20478x"),
        ("semicolon behind", "20478;"), ("empty", ""), ("no number", "many"), ("negative", "-1"),
        ("zero", "0"), ("65536", "65536"), ("86014, which is 20478 + 65536", "86014"),
        ("leading zeros", "020478"), ("plus sign", "+20478"), ("hexadecimal", "0x4ffe"),
        ("address and port", f"{HOST}:20478"), ("range", "20478-20479"),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "listens", LISTENS)
    yield T(one, "twice, different", f"{one}=20478\n{one}=20480", "listens", LISTENS)
    one = "listening-ip"
    for kind, value in (
        ("plain", HOST), ("double quotes", f'"{HOST}"'), ("blanks behind", f"{HOST}  "),
        ("single quotes", f"'{HOST}'"), ("comment behind", f"{HOST} # text"),
        ("semicolon behind", f"{HOST};"), ("address and port", f"{HOST}:20478"),
        ("CIDR", f"{HOST}/24"), ("interface", "eth0"), ("list", f"{HOST},{OTHER}"),
        ("not this host's", "198.51.100.7"), ("leading zeros", "203.0.113.001"), ("empty", ""),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "listens", LISTENS)
    yield T(one, "two of them", f"{one}={HOST}\n{one}={OTHER}", "listens",
            f"{LISTENS}, {OTHER}:20478/udp+tcp")  # fmt: skip
    yield T(one, "one of two is not this host's", f"{one}={HOST}\n{one}=198.51.100.7", "listens",
            f"{LISTENS}, 198.51.100.7:20478/udp+tcp")  # fmt: skip
    yield T(one, "host name", f"{one}=localhost", "runs", "runs", advice="address-name")
    for one, off in (("no-udp", "serves TCP"), ("no-tcp", "serves UDP")):
        for value in ("", "=1", "=10", "=yes"):
            yield T(one, value.strip("=") or "alone", f"{one}{value}", "transport", off)
        for value in ("=0", "=no", "=off", "=false", "=n"):
            yield T(one, value.strip("="), f"{one}{value}", "transport", "serves UDP and TCP")
        yield T(one, "maybe", f"{one}=maybe", "transport", off)
        yield T(one, "on, then off", f"{one}\n{one}=off", "transport", "serves UDP and TCP",
            advice="option-repeated")  # fmt: skip
    yield T("tcp-proxy-port", "plain", "tcp-proxy-port=20480", "listens",
            f"listens on {HOST}:20478/udp, {HOST}:20480/tcp")  # fmt: skip


def _relaying() -> Iterator[Trial]:
    one = "relay-ip"
    for kind, value in (
        ("plain", OTHER), ("double quotes", f'"{OTHER}"'), ("blanks behind", f"{OTHER}  "),
        ("single quotes", f"'{OTHER}'"), ("comment behind", f"{OTHER} # text"),
        ("semicolon behind", f"{OTHER};"), ("CIDR", f"{OTHER}/24"), ("list", f"{OTHER},{HOST}"),
        ("not this host's", "198.51.100.7"), ("empty", ""), ("interface", "eth0"),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "relays", RELAYS.replace(HOST, OTHER))
    yield T(one, "absent", "# nothing", "relays", RELAYS)
    one = "external-ip"
    outside = "relays at 198.51.100.7, port 40000-40019"
    for kind, value in (
        ("pair", f"198.51.100.7/{HOST}"), ("pair in double quotes", f'"198.51.100.7/{HOST}"'),
        ("pair, blanks behind", f"198.51.100.7/{HOST}  "),
        ("pair in single quotes", f"'198.51.100.7/{HOST}'"),
        ("pair, comment behind", f"198.51.100.7/{HOST} # text"),
        ("pair, blanks around the slash", f"198.51.100.7 / {HOST}"),
        ("pair by a colon", f"198.51.100.7:{HOST}"), ("pair by a comma", f"198.51.100.7,{HOST}"),
        ("reversed", f"{HOST}/198.51.100.7"),
        ("pair of another inner address", "198.51.100.7/10.9.9.9"),
        ("CIDR", "198.51.100.7/24"), ("with a port", "198.51.100.7:20478"),
        ("name that does not exist", "nowhere.invalid"), ("placeholder", "auto"), ("empty", ""),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "relays", outside)
    yield T(one, "alone", f"{one}=198.51.100.7", "relays", outside)
    yield T(one, "own address alone", f"{one}={HOST}", "relays", RELAYS)
    yield T(one, "alone, twice", f"{one}=198.51.100.8\n{one}=198.51.100.7", "relays", outside)
    yield T(one, "host name", f"{one}=localhost", "relays", "relays at 127.0.0.1, port 40000-40019",
            advice="address-name")  # fmt: skip
    for one, low in (("min-port", "40000"), ("max-port", "40019")):
        for kind, value in (
            ("plain", low), ("double quotes", f'"{low}"'), ("tabs behind", f"{low}\t"),
            ("single quotes", f"'{low}'"), ("comment behind", f"{low} # text"),
            ("no number", "many"), ("empty", ""), ("65536 too much", str(int(low) + 65536)),
        ):  # fmt: skip
            yield T(one, kind, f"{one}={value}", "relays", RELAYS)
    yield T("min-port", "above max-port", "min-port=40020", "relays", RELAYS)
    yield T("max-port", "below the default min-port", "max-port=40019", "relays", RELAYS,
            ("min-port",))  # fmt: skip
    one = "denied-peer-ip"
    for kind, value in (
        ("range", "10.0.0.0-10.255.255.255"), ("double quotes", '"10.0.0.0-10.255.255.255"'),
        ("blanks behind", "10.0.0.0-10.255.255.255  "),
        ("blanks around the dash", "10.0.0.0 - 10.255.255.255"), ("one address", "10.1.2.3"),
        ("single quotes", "'10.0.0.0-10.255.255.255'"), ("CIDR", "10.0.0.0/8"),
        ("reversed", "10.255.255.255-10.0.0.0"), ("list", "10.0.0.0-10.255.255.255,192.168.0.1"),
        ("comment behind", "10.0.0.0-10.255.255.255 # text"), ("wildcard", "10.*"),
        ("empty", ""), ("0.0.0.0", "0.0.0.0"), ("::", "::"),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "peers", DENIES)
    one = "allowed-peer-ip"
    deny = ("denied-peer-ip=10.0.0.0-10.255.255.255",)
    yield T(one, "one address", f"{one}=10.1.2.3", "peers", ALLOWS, (), deny)
    yield T(one, "double quotes", f'{one}="10.1.2.3"', "peers", ALLOWS, (), deny)
    yield T(one, "CIDR", f"{one}=10.1.0.0/16", "peers", ALLOWS, (), deny)
    one = "user-quota"
    for kind, value, meant in (
        ("plain", "2", 2), ("double quotes", '"2"', 2), ("single quotes", "'2'", 2),
        ("zero", "0", 4), ("no number", "two", 2),
    ):  # fmt: skip
        yield T(one, kind, f"{one}={value}", "quota", f"{meant} of 4 allocations")
    yield T(one, "comment behind", f"{one}=2 # text", "quota", "2 of 4 allocations",
            advice="trailing-comment")  # fmt: skip
    yield T("total-quota", "plain", "total-quota=3", "quota", "3 of 4 allocations")
    yield T(
        "max-allocate-lifetime", "plain", "max-allocate-lifetime=900", "lifetime", "lifetime 900"
    )
    yield T("max-allocate-lifetime", "alone", "max-allocate-lifetime", "lifetime", "lifetime 3000")
    yield T("max-allocate-lifetime", "comment behind", "max-allocate-lifetime=900 # text",
            "lifetime", "lifetime 900", advice="trailing-comment")  # fmt: skip
    yield T("max-allocate-lifetime", "no number", "max-allocate-lifetime=1h", "lifetime",
            "lifetime 3000")  # fmt: skip
    yield T("bps-capacity", "without max-bps", "bps-capacity=1000000", "runs", "runs")
    yield T("bps-capacity", "with max-bps", "bps-capacity=1000000", "runs", "runs", (),
            ("max-bps=1000",))  # fmt: skip
    yield T("no-udp-relay", "beside no-tcp-relay", "no-udp-relay\nno-tcp-relay", "runs", "runs")
    yield T("no-tcp-relay", "alone", "no-tcp-relay", "relays", RELAYS)
    yield T("allocation-default-address-family", "ipv4", "allocation-default-address-family=ipv4",
            "relays", RELAYS)  # fmt: skip
    yield T("allocation-default-address-family", "4", "allocation-default-address-family=4",
            "runs", "ipv4 is the default")  # fmt: skip


def _switches() -> Iterator[Trial]:
    for value in ("", "=1", "=10", "=yes", "=On"):
        yield T("verbose", value.strip("=") or "alone", f"verbose{value}", "runs", "runs")
    yield T("verbose", "comment behind", "verbose # text", "runs", "runs")
    yield T("verbose", "high", "verbose=high", "runs", "runs")
    one = "fingerprint"
    for value in ("", "=1", "=10", "=true"):
        yield T(one, value.strip("=") or "alone", f"{one}{value}", one, "answers with FINGERPRINT")
    yield T(one, "no", f"{one}=no", one, "answers without FINGERPRINT")
    yield T(one, "comment behind", f"{one} # text", one, "answers with FINGERPRINT")
    yield T("no-software-attribute", "alone", "no-software-attribute", "software",
            "answers without SOFTWARE")  # fmt: skip
    yield T("stun-only", "alone", "stun-only", "turn", "STUN", advice="stun-only")
    yield T("stun-only", "no", "stun-only=no", "turn", "STUN and TURN")
    yield T("no-stun", "alone", "no-stun", "turn", "TURN")
    yield T("secure-stun", "alone", "secure-stun", "turn", "TURN", advice="option-unsafe")
    yield T("stale-nonce", "alone", "stale-nonce", "relays", RELAYS)
    yield T("stale-nonce", "plain", "stale-nonce=600", "relays", RELAYS)
    yield T("stale-nonce", "no number", "stale-nonce=10m", "runs", "ten minutes")
    yield T("no-such-option", "unknown", "no-such-option=1", "runs", "does something")
    yield T("proc-user", "unknown user", "proc-user=nobody-at-all", "runs", "runs")
    yield T("no-cli", "alone", "no-cli", "runs", "runs", advice="")
    yield T("no-multicast-peers", "alone", "no-multicast-peers", "runs", "runs")


def _tls() -> Iterator[Trial]:
    def t(option: str, kind: str, text: str, meant: str = TLS, **more: str) -> Trial:
        own = {line.partition("=")[0] for line in text.split("\n")} | {option}
        beside = tuple(line for line in CERT if line.partition("=")[0] not in own)
        return T(option, kind, text, "tls", meant, NO_TLS, beside, **more)

    yield t("cert", "plain", "cert=%cert%")
    yield t("cert", "double quotes", 'cert="%cert%"')
    yield t("cert", "blanks behind", "cert=%cert%  ")
    yield t("cert", "single quotes", "cert='%cert%'")
    yield t("cert", "comment behind", "cert=%cert% # text")
    yield t("cert", "missing file", "cert=%absent%")
    yield t("cert", "absent", "# nothing")
    yield t("cert", "empty", "cert=")
    yield t("cert", "a directory", "cert=%tls%")
    yield t("cert", "not PEM", "cert=%text%")
    yield t("cert", "the key's file", "cert=%key%")
    yield t("pkey", "double quotes", 'pkey="%key%"')
    yield t("pkey", "missing file", "pkey=%absent%")
    yield t("pkey", "absent", "# nothing")
    yield t("pkey", "of another certificate", "pkey=%other%")
    yield t("pkey", "not PEM", "pkey=%text%")
    yield t("pkey", "encrypted, with pkey-pwd", "pkey=%encrypted%\npkey-pwd=horse")
    yield t("pkey", "encrypted, with a wrong pkey-pwd", "pkey=%encrypted%\npkey-pwd=mare")
    yield t("cert", "both absent", "# nothing\npkey=")
    yield t("no-tls", "beside a certificate", "no-tls")
    yield t("no-tls", "no", "no-tls=no")
    yield t("no-tls", "0", "no-tls=0")
    yield t("tls-listening-port", "double quotes", 'tls-listening-port="20443"')
    yield t("tls-listening-port", "comment behind", "tls-listening-port=20443 # text")
    yield t("no-tlsv1", "alone", "no-tlsv1", advice="option-dropped")
    yield t("no-tlsv1_1", "alone", "no-tlsv1_1", advice="option-dropped")
    yield t("no-tlsv1_2", "alone", "no-tlsv1_2", TLS)
    yield t("no-tlsv1_2", "no", "no-tlsv1_2=no")
    yield t("cipher-list", "plain", "cipher-list=HIGH")
    yield t("cipher-list", "none known", "cipher-list=nonsense")
    yield t("proc-user", "key for root alone", "proc-user=nobody\nproc-group=nogroup\npkey=%root%",
            advice="tls-file-unreadable")  # fmt: skip
    for kind, more in (("root alone", "\npkey=%root%"), ("the user", "")):
        text = f"proc-user=nobody\nproc-group=nogroup{more}"
        one = t("proc-user", f"key for {kind}, reloaded", text, "reloads its certificate")
        yield dataclasses.replace(one, aspect="reloads")


TRIALS: tuple[Trial, ...] = (
    *_secrets(), *_authentication(), *_listening(), *_relaying(), *_switches(), *_tls(),
)  # fmt: skip


@contextlib.contextmanager
def files() -> Iterator[Mapping[str, Path]]:
    """Certificates, keys, and what is none."""
    from cryptography.hazmat.primitives import serialization

    with tempfile.TemporaryDirectory(prefix="signalpost-options-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        authority = Authority(directory)
        own, other = authority.issue(["turn.example.org"]), authority.issue(["turn.example.org"])
        text, encrypted, root = directory / "text", directory / "encrypted", directory / "root"
        text.write_text("no certificate\n")
        key = serialization.load_pem_private_key(own.key.read_bytes(), None)
        encrypted.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.BestAvailableEncryption(b"horse"),
            )
        )
        shutil.copy(own.key, root)
        root.chmod(0o600)
        yield {
            "cert": own.chain, "key": own.key, "other": other.key, "absent": directory / "none.pem",
            "tls": directory, "text": text, "encrypted": encrypted, "root": root,
        }  # fmt: skip


Recorded = tuple[str, ...]
"""What a row of the document says: the outcome with each version, what doctor says with each."""


def tried(trial: Trial, namespace: str, present: Mapping[str, Path]) -> tuple[str, ...]:
    """What came of it with each version, in the document's words."""
    cells = []
    for version in coturn.VERSIONS:
        said, complaints = outcome(trial, version, namespace, present)
        cells.append(f"{said} ({complaints})" if complaints else said)
    return tuple(cells)


def doctors(trial: Trial, namespace: str, present: Mapping[str, Path]) -> tuple[list[str], ...]:
    """The findings about it with each version: "fail code" or "warn code". What the base of every
    trial has, such as its missing deny list, is not told."""
    return tuple(
        sorted(_linted(trial, version, namespace, present) - _always(version, namespace))
        for version in coturn.VERSIONS
    )


@lru_cache
def _always(version: str, namespace: str) -> frozenset[str]:
    """What is found without a trial."""
    return frozenset(_linted(None, version, namespace, {}))


def _linted(
    trial: Trial | None, version: str, namespace: str, present: Mapping[str, Path]
) -> set[str]:
    with tempfile.TemporaryDirectory(prefix="signalpost-options-") as name:
        path = Path(name) / "turnserver.conf"
        path.write_bytes(configuration(trial, Path(name), present))
        read = parse_version(version)
        made = coturn.within(namespace, lambda: lint.lint(path, read, lambda: read))
    codes = {f"{one.severity} {one.code}" for look in made for one in look.findings}
    return {one for one in codes if "deny-list" not in one}


def document(rows: Mapping[str, Recorded]) -> str:
    """The page: every trial with what came of it."""
    parts, option = [INTRODUCTION], ""
    for trial in TRIALS:
        if trial.option != option:
            option = trial.option
            parts.append(f"\n## {option}\n\n| value | written | meant | 4.6.1 | 4.18.0 | doctor |")
            parts.append("|---|---|---|---|---|---|")
        cells = [trial.kind, f"`{trial.written}`", trial.meant, *rows[trial.name]]
        parts.append(f"| {' | '.join(cells)} |")
    return "\n".join(parts) + "\n"


def recorded(text: str) -> dict[str, Recorded]:
    """The rows of the page: a trial's name → what both versions did, and what doctor says."""
    rows, option = {}, ""
    for line in text.splitlines():
        if line.startswith("## "):
            option = line.removeprefix("## ")
        elif line.startswith("| ") and not line.startswith("| value"):
            cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            rows[f"{option} {cells[0]}"] = tuple(cells[3:])
    return rows


def verdict(findings: tuple[list[str], ...]) -> str:
    """The cell of doctor's findings."""
    old, new = (", ".join(one) or "nothing" for one in findings)
    return old if old == new else f"4.6.1: {old}; 4.18.0: {new}"


INTRODUCTION = """# What coturn does with its options

`python -m tests.lab.trials` writes this page. It starts coturn 4.6.1 and 4.18.0 with each line and
records what they do. `make test` tries some of the rows again, `make soak` all of them.

The rest of the file has a realm, a secret, `listening-port=20478`, `listening-ip=203.0.113.1` and
the relay ports 40000 to 40019. The host has 203.0.113.1 and 203.0.113.2. `·` is a blank at the end
of a line, `\\t` a tab, `\\r` a carriage return, `\\n` the next line, `%cert%` a good certificate.
The text in parentheses is what coturn wrote to its log. The last column is what
`turnctl doctor --config` says about the line. It reports something wherever a version doesn't do
what was meant, and no failure where both do."""


if __name__ == "__main__":
    with netns.internet() as made, files() as present:
        DOCUMENT.write_text(
            document(
                {
                    trial.name: (
                        *tried(trial, made.server.name, present),
                        verdict(doctors(trial, made.server.name, present)),
                    )
                    for trial in TRIALS
                }
            )
        )
