"""Mistakes of issuers: each is made here by other code, refused by real coturn, and named."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signalpost.credentials import Secret, password_for
from tests.lab import coturn
from tests.signalpost.cases import CASES
from turnctl.diagnosis.mistakes import MISTAKES, diagnose, in_name, in_password
from turnctl.wire.errors import ErrorResponse
from turnctl.wire.links import open_datagram
from turnctl.wire.session import Login, Session

SECRET = "Zk3Yw8Qp1Lr6Tn0Vx5Ha"
BASE64_SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0LTAxMjM="
HEX_SECRET = "5ec2e70f7e570123456789abcdef0123"
NOW = int(time.time())


def end_in(units: int) -> int:
    """An end, so many units a second. coturn keeps 32 signed bits of a time: in one moment of
    twelve a wrong unit looks like an end that is to come, this one like one long ago.
    """
    ends = range(NOW + 3600, NOW + 5_000_000, 61)
    return next(end * units for end in ends if end * units & 0x8000_0000)


REALM = coturn.REALM

Digest = Callable[[bytes, bytes], bytes]
Text = Callable[[bytes], str]


def sha1(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha1).digest()


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def plain(algorithm: str, text: str) -> bytes:
    return hashlib.new(algorithm, text.encode(), usedforsecurity=False).digest()


def signed(secret: str, name: str) -> str:
    return b64(sha1(secret.encode(), name.encode()))


def name(after: int = 3600, user: str = "bob") -> str:
    return f"{NOW + after}:{user}"


def with_sign(text: str, ending: str = "") -> str:
    """A user name whose password has this text in it: + and / come and go by chance."""
    return next(
        made
        for number in range(9999)
        if text in signed(SECRET, made := name(user=f"u{number}{ending}"))
    )


def escaped(text: str) -> str:
    return json.dumps(text).strip('"').replace("+", "\\u002b").replace("=", "\\u003d")


PLUS = with_sign("+")
SLASH = with_sign("/")
USER = name()

ISSUED: dict[str, tuple[str, str, str]] = {
    # --- what came out of the secret's handling
    "newline": ("secret-with-newline", USER, signed(SECRET + "\n", USER)),
    "newline of Windows": ("secret-with-newline", USER, signed(SECRET + "\r\n", USER)),
    "blank behind": ("secret-with-blank", USER, signed(SECRET + " ", USER)),
    "blank before": ("secret-with-blank", USER, signed(" " + SECRET, USER)),
    "double quotes": ("secret-in-quotes", USER, signed(f'"{SECRET}"', USER)),
    "single quotes": ("secret-in-quotes", USER, signed(f"'{SECRET}'", USER)),
    "secret to base64": ("secret-encoded", USER, signed(b64(SECRET.encode()), USER)),
    "secret to hex": ("secret-encoded", USER, signed(SECRET.encode().hex(), USER)),
    "UTF-16": ("secret-encoded", USER, b64(sha1(SECRET.encode("utf-16-le"), USER.encode()))),
    "hashed secret": (
        "secret-hashed",
        USER,
        signed(hashlib.sha256(SECRET.encode()).hexdigest(), USER),
    ),
    "capitals": ("secret-in-other-case", USER, signed(SECRET.upper(), USER)),
    "no secret": ("secret-empty", USER, signed("", USER)),
    "undefined": ("secret-undefined", USER, signed("undefined", USER)),
    "whole line": ("secret-with-option", USER, signed(f"static-auth-secret={SECRET}", USER)),
    "not copied to its end": ("secret-cut", USER, signed(SECRET[:-1], USER)),
    # --- what was signed
    "time alone": ("time-signed-alone", USER, signed(SECRET, USER.split(":")[0])),
    "user alone": ("user-signed-alone", USER, signed(SECRET, "bob")),
    "swapped for signing": ("name-signed-swapped", USER, signed(SECRET, f"bob:{NOW + 3600}")),
    "without colon": ("name-signed-otherwise", USER, signed(SECRET, USER.replace(":", ""))),
    "name with newline": ("name-signed-otherwise", USER, signed(SECRET, USER + "\n")),
    "name percent-encoded": ("name-signed-otherwise", USER, signed(SECRET, quote(USER, safe=""))),
    "name in quotes": ("name-signed-otherwise", USER, signed(SECRET, json.dumps(USER))),
    "milliseconds signed": (
        "name-signed-in-milliseconds",
        USER,
        signed(SECRET, USER.replace(":", "000:")),
    ),
    "with realm": ("name-signed-with-realm", USER, signed(SECRET, f"{USER}@{REALM}")),
    "nothing": ("nothing-signed", USER, signed(SECRET, "")),
    # --- how
    "SHA-256": ("other-digest", USER, b64(hmac.digest(SECRET.encode(), USER.encode(), "sha256"))),
    "MD5": ("other-digest", USER, b64(hmac.digest(SECRET.encode(), USER.encode(), "md5"))),
    "SHA-512": ("other-digest", USER, b64(hmac.digest(SECRET.encode(), USER.encode(), "sha512"))),
    "arguments": ("arguments-swapped", USER, b64(sha1(USER.encode(), SECRET.encode()))),
    "no HMAC": ("no-hmac", USER, b64(plain("sha1", SECRET + USER))),
    "no HMAC, with colon": (
        "no-hmac",
        USER,
        b64(plain("sha1", f"{USER}:{SECRET}")),
    ),
    # --- how it became text
    "hex": ("hex-digest", USER, sha1(SECRET.encode(), USER.encode()).hex()),
    "hex in capitals": ("hex-digest", USER, sha1(SECRET.encode(), USER.encode()).hex().upper()),
    "base64 of hex": (
        "base64-of-hex",
        USER,
        b64(sha1(SECRET.encode(), USER.encode()).hex().encode()),
    ),
    "padding": ("no-padding", USER, signed(SECRET, USER).rstrip("=")),
    "URL's alphabet": ("url-safe", PLUS, signed(SECRET, PLUS).translate({43: "-", 47: "_"})),
    "URL's, unpadded": (
        "url-safe",
        PLUS,
        signed(SECRET, PLUS).translate({43: "-", 47: "_", 61: ""}),
    ),
    "base32": (
        "base32",
        USER,
        base64.b32encode(sha1(SECRET.encode(), USER.encode())).decode(),
    ),
    "percent": ("percent-encoded", PLUS, quote(signed(SECRET, PLUS), safe="")),
    "percent twice": ("percent-encoded", PLUS, quote(quote(signed(SECRET, PLUS), safe=""))),
    "form": ("plus-as-blank", PLUS, signed(SECRET, PLUS).replace("+", " ")),
    "JSON twice": ("escaped", PLUS, escaped(signed(SECRET, PLUS))),
    "slash escaped": ("escaped", SLASH, signed(SECRET, SLASH).replace("/", "\\/")),
    "HTML": ("escaped", PLUS, signed(SECRET, PLUS).replace("+", "&#43;").replace("=", "&#x3D;")),
    "base64 twice": ("double-base64", USER, b64(signed(SECRET, USER).encode())),
    "newline behind": ("password-with-newline", USER, signed(SECRET, USER) + "\n"),
    "quotes around": ("password-in-quotes", USER, json.dumps(signed(SECRET, USER))),
    "Python's bytes": ("password-in-quotes", USER, str(signed(SECRET, USER).encode())),
    "cut": ("password-cut", USER, signed(SECRET, USER)[:20]),
    "small letters": ("password-in-other-case", USER, signed(SECRET, USER).lower()),
    # --- what was handed out
    "secret": ("secret-as-password", USER, SECRET),
    "MD5 key": (
        "long-term-key",
        USER,
        plain("md5", f"{USER}:{REALM}:{signed(SECRET, USER)}").hex(),
    ),
    "username for credential": ("members-swapped", signed(SECRET, USER), USER),
    # --- the user name
    "milliseconds": ("milliseconds", m := f"{end_in(10**3)}:bob", signed(SECRET, m)),
    "microseconds": ("microseconds", m := f"{end_in(10**6)}:bob", signed(SECRET, m)),
    "nanoseconds": ("nanoseconds", m := f"{end_in(10**9)}:bob", signed(SECRET, m)),
    "milliseconds behind": ("milliseconds", m := f"bob:{end_in(10**3)}", signed(SECRET, m)),
    "date": ("date", m := "2037-01-02T03:04:05Z:bob", signed(SECRET, m)),
    "fraction": ("fraction", m := f"{NOW + 3600}.25:bob", signed(SECRET, m)),
    "year 2286": ("time-after-2038", m := "9999999999:bob", signed(SECRET, m)),
    "lifetime": ("lifetime-as-time", m := "3600:bob", signed(SECRET, m)),
    "no time": ("time-missing", "bob", signed(SECRET, "bob")),
    "third part": ("time-too-late", m := f"eu:bob:{NOW + 3600}", signed(SECRET, m)),
    "blank in the name": ("name-unfit", m := f"{NOW + 3600}:Bob Jones", signed(SECRET, m)),
    "name in its quotes": ("name-unfit", m := f'"{NOW + 3600}:bob"', signed(SECRET, m)),
    "apostrophe": ("name-unfit", m := f"{NOW + 3600}:o'hara", signed(SECRET, m)),
    "password too": ("password-in-name", "alice:correct-horse", "correct-horse"),
}
"""How it was made → what it is called, and what the client is given."""

RIGHT: dict[str, str] = {
    "time and user": USER,
    "user and time": f"bob:{NOW + 3600}",
    "time alone": str(NOW + 3600),
    "a dash": f"{NOW + 3600}-bob",
    "a colon more": f"{NOW + 3600}:bob:7",
    "the last second": f"{2**31 - 1}:bob",
}


@pytest.mark.parametrize(("mistake", "username", "password"), ISSUED.values(), ids=ISSUED)
def test_a_mistake_is_named(mistake: str, username: str, password: str) -> None:
    """Each has its name, which has a sentence on what it means and one on what to change."""
    assert (mistake,) == diagnose([Secret(SECRET)], username, password, realm=REALM)
    assert MISTAKES[mistake].fix.endswith(".")


@pytest.mark.parametrize("username", RIGHT.values(), ids=RIGHT)
def test_a_right_credential_has_none(username: str) -> None:
    assert () == diagnose([Secret(SECRET)], username, signed(SECRET, username))


def test_every_mistake_is_made() -> None:
    """Each mistake that can be named is made by an issuer above or by one of the tests below."""
    made = {mistake for mistake, _, _ in ISSUED.values()}
    rest = {"secret-base64-decoded", "secret-hex-decoded", "secret-percent-decoded"}
    assert set(MISTAKES) == made | rest | {"raw-bytes", "name-too-long"}


@pytest.mark.parametrize(
    ("mistake", "secret", "key"),
    [
        ("secret-base64-decoded", BASE64_SECRET, base64.b64decode(BASE64_SECRET)),
        ("secret-hex-decoded", HEX_SECRET, bytes.fromhex(HEX_SECRET)),
        ("secret-percent-decoded", "secret%20of%2Bthe-test", b"secret of+the-test"),
        ("secret-cut", "secret-of$the-test-01234", b"secret-of-test-01234"),
        ("secret-cut", "secret-of#the-test-01234", b"secret-of"),
        ("secret-cut", "secret-of$$the-test-0123", b"secret-of$the-test-0123"),
    ],
)
def test_a_secret_that_was_decoded(mistake: str, secret: str, key: bytes) -> None:
    """Secrets often look like base64 or hex, and coturn takes their text."""
    password = b64(sha1(key, USER.encode()))
    assert (mistake,) == diagnose([Secret("another-0123456789"), Secret(secret)], USER, password)


def test_names_by_themselves() -> None:
    """Without a secret a name shows what is wrong with it; a static user's shows nothing."""
    assert ("name-too-long",) == in_name(f"{NOW}:" + "u" * 600)
    assert ("password-in-name",) == in_name("alice:wonderland", "wonderland")
    for static in ("alice", "alice@example.org", "turn:alice", "user7", "7", "", "1.2.3.4"):
        assert () == in_name(static)
    assert ("raw-bytes",) == in_password(
        [Secret(SECRET)], USER, sha1(SECRET.encode(), USER.encode()).decode("latin-1")
    )


# --- real servers ------------------------------------------------------------------------------


class Client:
    """Shows credentials to a server. Sockets stay open to the end: coturn remembers the user of a
    port, and answers another one from there with 441.
    """

    def __init__(self, server: coturn.Server, stack: contextlib.AsyncExitStack) -> None:
        self.server, self.stack = server, stack

    async def answer(self, username: str, password: str) -> int:
        """What a Refresh without an allocation gets: 437 when the credential is taken."""
        session = Session(Login(username, password))
        session.attach(await open_datagram((self.server.host, self.server.port), session))
        self.stack.push_async_callback(session.close)
        try:
            await session.refresh(patience=5)
        except ErrorResponse as error:
            return error.code
        return 0


@pytest.mark.parametrize("version", coturn.VERSIONS)
async def test_coturn_takes_none_of_them(own_address: str, version: coturn.Version) -> None:
    """What is called a mistake is refused by both versions, and what is called right is taken."""
    with coturn.running(own_address, secret=SECRET, version=version) as server:
        async with contextlib.AsyncExitStack() as stack:
            show = Client(server, stack).answer
            taken = {how: await show(one, signed(SECRET, one)) for how, one in RIGHT.items()}
            refused = {
                how: await show(username, password)
                for how, (_, username, password) in ISSUED.items()
            }
            longest = [await show(n := "u" * k, signed(SECRET, n)) for k in (508, 513)]
    assert {437} == {*taken.values()}, taken
    bad_names = {how for how, (mistake, _, _) in ISSUED.items() if mistake == "name-unfit"}
    assert {400} == {refused.pop(how) for how in bad_names}
    assert {401} == {*refused.values()}, refused
    assert (401, 400 if version == "4.18.0" else 401) == tuple(longest)


# --- any secret, any user, several mistakes at once ---------------------------------------------

SECRETS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\""),
    min_size=16,
    max_size=40,
)
USERS = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=12)

KEYS: dict[str, Callable[[str], str]] = {
    "": lambda secret: secret,
    "secret-with-newline": lambda secret: secret + "\n",
    "secret-in-quotes": lambda secret: f'"{secret}"',
    "secret-encoded": lambda secret: b64(secret.encode()),
}
SIGNED: dict[str, Callable[[str, str], str]] = {
    "": lambda stamp, user: f"{stamp}:{user}",
    "time-signed-alone": lambda stamp, user: stamp,
    "user-signed-alone": lambda stamp, user: user,
    "name-signed-swapped": lambda stamp, user: f"{user}:{stamp}",
}
DIGESTS: dict[str, Digest] = {
    "": sha1,
    "other-digest": lambda key, message: hmac.digest(key, message, "sha256"),
    "arguments-swapped": lambda key, message: sha1(message, key),
}
TEXTS: dict[str, Text] = {
    "": b64,
    "hex-digest": lambda raw: raw.hex(),
    "base64-of-hex": lambda raw: b64(raw.hex().encode()),
    "double-base64": lambda raw: b64(b64(raw).encode()),
}
WAYS = list(itertools.product(KEYS, SIGNED, DIGESTS, TEXTS))


@settings(max_examples=CASES // 20, deadline=None)  # up to 50 ms each
@given(secret=SECRETS, user=USERS, way=st.sampled_from(WAYS), others=st.lists(SECRETS, max_size=2))
def test_mistakes_together(
    secret: str, user: str, way: tuple[str, str, str, str], others: list[str]
) -> None:
    """Up to four mistakes at once are named, for any secret and user."""
    assume(secret not in others)
    key, message, digest, text = way
    stamp = str(NOW + 600)
    made = DIGESTS[digest](KEYS[key](secret).encode(), SIGNED[message](stamp, user).encode())
    given_secrets = [Secret(one) for one in (*others, secret)]
    found = diagnose(given_secrets, f"{stamp}:{user}", TEXTS[text](made))
    assert tuple(one for one in way if one) == found


@settings(max_examples=CASES // 20, deadline=None)  # up to 50 ms each
@given(secret=SECRETS, username=st.text(max_size=40), password=st.text(max_size=40))
def test_nothing_is_guessed(secret: str, username: str, password: str) -> None:
    """A password that does not come out of the secret has no mistake: it has another secret."""
    assume(password.strip(" \t\r\n'\"") != secret)
    assume(password != password_for(Secret(secret), username))
    assert in_password([Secret(secret)], username, password) is None
