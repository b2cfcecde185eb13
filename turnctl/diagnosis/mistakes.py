"""Find an issuer's mistake in making TURN credentials, by making the same mistake again.

This isn't guessing. A mistake in the password is named only if it turns the given secret into the
given password, and one in the user name only if the name shows it. Every form was tried on coturn
4.6.1 and 4.18.0, which accept none of them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import html
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, unquote_plus

from signalpost.credentials import (
    LAST_EXPIRY,
    MAX_USERNAME_BYTES,
    UNFIT,
    Secret,
    password_for,
    read_username,
)

__all__ = [
    "BAD_REQUEST",
    "MISTAKES",
    "TIME_MISSING",
    "Mistake",
    "diagnose",
    "in_name",
    "in_password",
]

FORMULA = "base64(HMAC-SHA1(secret, username))"


@dataclass(frozen=True, slots=True)
class Mistake:
    """`said` is a clause about the credential; `fix` a sentence about the issuer."""

    said: str
    fix: str


MISTAKES: Mapping[str, Mistake] = {
    # --- the user name
    "milliseconds": Mistake(
        "the time in its user name is in milliseconds, but coturn reads seconds",
        "Divide the time by 1000: Math.floor(Date.now() / 1000) + lifetime.",
    ),
    "microseconds": Mistake(
        "the time in its user name is in microseconds, but coturn reads seconds",
        "Divide the time by 1,000,000.",
    ),
    "nanoseconds": Mistake(
        "the time in its user name is in nanoseconds, but coturn reads seconds",
        "Divide the time by 1,000,000,000.",
    ),
    "date": Mistake(
        "its user name has a date where coturn expects Unix time in seconds",
        "Write the time as Unix time in seconds.",
    ),
    "fraction": Mistake(
        "the time in its user name has a fraction, but coturn reads whole seconds",
        "Round the time down to whole seconds.",
    ),
    "time-after-2038": Mistake(
        "the time in its user name is after 2038-01-19: coturn keeps only 32 bits of it and treats "
        "it as past",
        "Give the credential a shorter lifetime.",
    ),
    "lifetime-as-time": Mistake(
        "the number in its user name is a time in the 1970s, probably a lifetime instead of the "
        "time at which the credential ends",
        "Write the time at which it ends: Unix time now plus the lifetime, in seconds.",
    ),
    "time-missing": Mistake(
        "its user name has no time, which coturn with use-auth-secret needs",
        "Issue user names as TIMESTAMP:ID, and sign the whole user name.",
    ),
    "time-too-late": Mistake(
        "the time comes after the second colon of its user name, but coturn reads it before or "
        "right after the first",
        "Issue user names as TIMESTAMP:ID.",
    ),
    "name-unfit": Mistake(
        "its user name has a blank, a quote or a backslash, and coturn answers that with 400",
        "Leave these characters out of the user id.",
    ),
    "name-too-long": Mistake(
        f"its user name has more than {MAX_USERNAME_BYTES} bytes",
        f"Issue user names of at most {MAX_USERNAME_BYTES} bytes.",
    ),
    "password-in-name": Mistake(
        "its user name contains the name, a colon and the password",
        "Put the name into username and the password into credential.",
    ),
    # --- the secret that the password was made with
    "secret-with-newline": Mistake(
        "it is signed with the secret and a newline after it",
        "Remove the newline when the issuer reads the secret (strip, trim, echo -n).",
    ),
    "secret-with-blank": Mistake(
        "it is signed with the secret and a blank around it",
        "Remove blanks when the issuer reads the secret.",
    ),
    "secret-in-quotes": Mistake(
        "it is signed with the secret in quotes",
        "Remove the quotes where the issuer keeps its secret, often a .env file.",
    ),
    "secret-base64-decoded": Mistake(
        "it is signed with the secret decoded from base64",
        "Use the secret's text, as it is in static-auth-secret, as the key. Don't decode it.",
    ),
    "secret-hex-decoded": Mistake(
        "it is signed with the secret decoded from hex",
        "Use the secret's text, as it is in static-auth-secret, as the key. Don't decode it.",
    ),
    "secret-encoded": Mistake(
        "it is signed with the secret encoded once more (base64, hex, percent or UTF-16)",
        "Use the secret's text, as it is in static-auth-secret, as the key, in UTF-8.",
    ),
    "secret-percent-decoded": Mistake(
        "it is signed with the secret decoded from percent-encoding",
        "Use the secret's text, as it is in static-auth-secret, as the key. Don't decode it.",
    ),
    "secret-hashed": Mistake(
        "it is signed with a hash of the secret",
        "Use the secret itself as the key. Don't hash it.",
    ),
    "secret-in-other-case": Mistake(
        "it is signed with the secret in upper or lower case",
        "Use the secret's text unchanged as the key.",
    ),
    "secret-empty": Mistake(
        "it is signed with an empty secret, probably because the issuer's setting is missing",
        "Give the issuer its secret, and make it refuse to start without one.",
    ),
    "secret-undefined": Mistake(
        "it is signed with the text undefined, null, None or nil instead of the secret",
        "Give the issuer its secret, and make it refuse to start without one.",
    ),
    "secret-with-option": Mistake(
        "it is signed with the whole line static-auth-secret=… instead of the secret",
        "Give the issuer only the part after the =.",
    ),
    "secret-cut": Mistake(
        "it is signed with only a part of the secret: a shell or a .env file may have replaced "
        "what follows a $ or cut at a #, or a character wasn't copied",
        "Compare the issuer's secret with coturn's character by character; write $ as $$ in a "
        "compose file, and put the secret in single quotes in a shell.",
    ),
    # --- what was signed
    "time-signed-alone": Mistake(
        "only the time is signed instead of the whole user name",
        "Sign the whole user name, TIMESTAMP:ID, as it is sent.",
    ),
    "user-signed-alone": Mistake(
        "only the user id is signed instead of the whole user name",
        "Sign the whole user name, TIMESTAMP:ID, as it is sent.",
    ),
    "name-signed-swapped": Mistake(
        "the signed text has time and user id in a different order from its user name",
        "Sign exactly the text that is sent as the user name.",
    ),
    "name-signed-otherwise": Mistake(
        "the signed text differs from its user name in separator, case, quotes, blanks or encoding",
        "Sign exactly the text that is sent as the user name.",
    ),
    "name-signed-in-milliseconds": Mistake(
        "the signed text has the time in a different unit from its user name",
        "Sign exactly the text that is sent as the user name.",
    ),
    "name-signed-with-realm": Mistake(
        "the realm is signed together with the user name",
        "Sign only the user name. The realm isn't part of the password.",
    ),
    "nothing-signed": Mistake(
        "an empty text is signed instead of the user name",
        "Sign the user name, and check that it isn't empty or undefined there.",
    ),
    # --- how
    "other-digest": Mistake(
        "it is signed with a digest other than HMAC-SHA1",
        f"Use HMAC-SHA1: {FORMULA}. coturn supports no other.",
    ),
    "arguments-swapped": Mistake(
        "the user name is the key of the HMAC and the secret is the text",
        f"Swap the arguments: the secret is the key, the user name the text. {FORMULA}.",
    ),
    "no-hmac": Mistake(
        "it is a plain hash of secret and user name instead of an HMAC",
        f"Use HMAC-SHA1: {FORMULA}.",
    ),
    "long-term-key": Mistake(
        "it is the MD5 of user:realm:password, the key that a client makes from a password",
        f"Hand out the password: {FORMULA}.",
    ),
    # --- how the digest became text
    "hex-digest": Mistake(
        "the digest is in hex, but coturn expects base64",
        "Encode the digest's bytes in base64 (digest('base64')).",
    ),
    "base64-of-hex": Mistake(
        "it is the base64 of the digest's hex text instead of its 20 bytes",
        "Encode the digest's bytes in base64: binary output (raw_output, digest()), not hex.",
    ),
    "no-padding": Mistake(
        "the = at the end of the base64 is missing",
        "Keep the padding of the base64.",
    ),
    "url-safe": Mistake(
        "it is in URL-safe base64, with - and _ instead of + and /",
        "Use standard base64, with + and /, and with the = at the end.",
    ),
    "base32": Mistake("the digest is in base32", "Encode the digest in base64."),
    "raw-bytes": Mistake(
        "it is the digest's bytes as text, without base64", "Encode the digest in base64."
    ),
    "percent-encoded": Mistake(
        "it is percent-encoded",
        "Send it unchanged in JSON. Only a URL's query needs encoding.",
    ),
    "plus-as-blank": Mistake(
        "its + became a blank, probably because it was decoded as a form or a query",
        "Don't decode it as a form, or encode it before sending it as one.",
    ),
    "escaped": Mistake(
        "it is escaped for HTML or JSON once too often",
        "Don't escape it. JSON's own encoding is enough.",
    ),
    "double-base64": Mistake("it is in base64 twice", "Encode the digest's bytes in base64 once."),
    "password-with-newline": Mistake(
        "it has a blank or a newline around or in it",
        "Remove it. The base64 command and encodebytes end their output with a newline.",
    ),
    "password-in-quotes": Mistake(
        "it has quotes around it, or Python's b'…'",
        "Remove the quotes. In Python, add .decode().",
    ),
    "password-cut": Mistake(
        "it is only a part of the right password", "Hand out all 28 characters."
    ),
    "password-in-other-case": Mistake(
        "it is the right password in upper or lower case", "Hand it out unchanged."
    ),
    "members-swapped": Mistake(
        "its username is the password, and its credential is the user name",
        "Swap the two: the user name goes into username, the password into credential.",
    ),
    "secret-as-password": Mistake(
        "the secret itself is handed out as the password. Anybody who has seen it can make "
        "credentials",
        f"Hand out {FORMULA}, and change the secret, since clients have seen this one.",
    ),
}
"""Name → what it means and what to change. The names are part of the evidence and never change."""

TIME_MISSING = ("time-missing",)
"""The mistake of a name without a time, if its password is signed with the secret."""

BAD_REQUEST = frozenset({"name-unfit", "name-too-long"})
"""Mistakes that coturn answers with 400 instead of 401."""


def diagnose(
    secrets: Sequence[Secret], username: str, password: str, *, realm: str = ""
) -> tuple[str, ...]:
    """Names of the mistakes, those of the user name first; empty if none is proved."""
    signed = in_password(secrets, username, password, realm=realm)
    named = in_name(username, password)
    if signed == ("members-swapped",):
        return signed
    if not named and signed is not None and read_username(username).expires is None:
        named = TIME_MISSING
    return named + (signed or ())


# --- the user name -----------------------------------------------------------------------------

_UNITS = {13: "milliseconds", 16: "microseconds", 19: "nanoseconds"}
"""Of a Unix time between 2001 and 2286, by its number of digits."""
_DATE = re.compile(r"(?:^|:)[12][0-9]{3}-[01][0-9]-[0-3][0-9](?:[T :]|$)")
_FRACTION = re.compile(r"(?:^|:)[0-9]{9,12}[.,][0-9]+(?::|$)")
_NUMBER = re.compile(r"[0-9]+", re.ASCII)
THE_SEVENTIES = 100_000_000
"""Unix time up to March 1973: longer than any real lifetime, and long before any real time."""


def in_name(username: str, password: str = "") -> tuple[str, ...]:
    """Mistakes that the user name shows by itself, for coturn with use-auth-secret.

    A name without a number shows nothing: it may be a fixed user's.
    """
    if password and username.endswith(f":{password}"):
        return ("password-in-name",)
    found = []
    if len(username.encode(errors="replace")) > MAX_USERNAME_BYTES:
        found.append("name-too-long")
    if UNFIT.search(username):
        found.append("name-unfit")
    parts = username.split(":")
    numbers = [part for part in parts[:2] if _NUMBER.fullmatch(part)]
    expires = read_username(username).expires
    if expires is not None:
        if expires > LAST_EXPIRY:
            found.append("time-after-2038")
        elif 0 < expires < THE_SEVENTIES:
            found.append("lifetime-as-time")
    elif unit := next((_UNITS[len(one)] for one in numbers if len(one) in _UNITS), None):
        found.append(unit)
    elif _DATE.search(username):
        found.append("date")
    elif _FRACTION.search(username):
        found.append("fraction")
    elif any(_NUMBER.fullmatch(part) and 9 <= len(part) <= 12 for part in parts[2:]):
        found.append("time-too-late")
    return tuple(found)


# --- the password ------------------------------------------------------------------------------

Step = tuple[str, bytes]
"""The mistake's name, "" for none, and the resulting bytes."""


def in_password(
    secrets: Sequence[Secret], username: str, password: str, *, realm: str = ""
) -> tuple[str, ...] | None:
    """The fewest mistakes that turn one of the secrets into this password: () if it is right, None
    if no known mistakes do.
    """
    rights = [(secret, password_for(secret, username)) for secret in secrets]
    if any(password == right for _, right in rights):
        return ()
    for secret, right in rights:
        if password.strip(" \t\r\n'\"") == secret.reveal():
            return ("secret-as-password",)
        if username == password_for(secret, password):
            return ("members-swapped",)
        if password == right.rstrip("="):
            return ("no-padding",)
        if len(password) > len(right) // 2 and right.startswith(password):
            return ("password-cut",)
        if password in {right.lower(), right.upper()}:
            return ("password-in-other-case",)
    encodings: dict[bytes, str] = {}
    for name, raw in _decoded(password):
        encodings.setdefault(raw, name)
    best: tuple[str, ...] | None = None
    for secret in secrets:
        text = secret.reveal()
        keys, messages = list(_keys(text)), list(_messages(username, realm))
        for (key_name, key), (message_name, message) in itertools.product(keys, messages):
            shorter = len([n for n in (key_name, message_name) if n])
            if best is not None and shorter >= len(best):
                continue
            for digest_name, digest in _digests(key, message, username, realm):
                encoding = encodings.get(digest)
                if encoding is None:
                    continue
                if digest_name == "long-term-key":
                    encoding = ""  # this one is mostly written in hex
                made = (key_name, message_name, digest_name, encoding)
                names = tuple(name for name in made if name)
                if best is None or len(names) < len(best):
                    best = names
    return best


def _keys(secret: str) -> Iterator[Step]:
    """Keys that an issuer may use, the secret itself first."""
    yield "", secret.encode()
    for end in ("\n", "\r\n", "\r"):
        yield "secret-with-newline", (secret + end).encode()
    for text in (f"{secret} ", f" {secret}", f" {secret} ", f"{secret}\t"):
        yield "secret-with-blank", text.encode()
    for mark in "\"'`":
        yield "secret-in-quotes", f"{mark}{secret}{mark}".encode()
    for raw in _from_base64(secret):
        yield "secret-base64-decoded", raw
    if (raw_hex := _from_hex(secret)) is not None:
        yield "secret-hex-decoded", raw_hex
    encoded = base64.b64encode(secret.encode())
    for key in (encoded, encoded.rstrip(b"="), encoded + b"\n", secret.encode().hex().encode()):
        yield "secret-encoded", key
    for form in ("utf-16-le", "utf-16-be", "utf-16"):
        yield "secret-encoded", secret.encode(form)
    if (escaped := quote(secret, safe="")) != secret:
        yield "secret-encoded", escaped.encode()
    for plain in {unquote(secret), unquote_plus(secret)} - {secret}:
        yield "secret-percent-decoded", plain.encode()
    for algorithm in ("md5", "sha1", "sha256", "sha512"):
        hashed = hashlib.new(algorithm, secret.encode(), usedforsecurity=False)
        yield "secret-hashed", hashed.digest()
        yield "secret-hashed", hashed.hexdigest().encode()
    for changed in {secret.lower(), secret.upper()} - {secret}:
        yield "secret-in-other-case", changed.encode()
    yield "secret-empty", b""
    for word in ("undefined", "null", "None", "nil"):
        yield "secret-undefined", word.encode()
    yield "secret-with-option", f"static-auth-secret={secret}".encode()
    expanded = re.sub(r"\$(?:\{[^}]*\}|\w+)", "", secret)
    parts = {expanded, secret.replace("$$", "$"), secret.replace("\\", "")}
    parts |= {secret.partition(mark)[0] for mark in "$#%&;!\\ "}
    parts |= {secret[1:], secret[:-1], secret[1:-1]}
    for part in parts - {secret, ""}:
        yield "secret-cut", part.encode()


def _messages(username: str, realm: str) -> Iterator[Step]:
    """Texts that an issuer may sign, the user name first."""
    yield "", username.encode(errors="replace")
    first, colon, second = username.partition(":")
    if colon and first and second:
        stamped, user = (first, second) if first[0].isdigit() else (second, first)
        yield "time-signed-alone", stamped.encode()
        yield "user-signed-alone", user.encode(errors="replace")
        yield "name-signed-swapped", f"{second}:{first}".encode(errors="replace")
        for separator in ("", "-", "_", ".", "|", " ", "/", "::"):
            text = f"{first}{separator}{second}"
            yield "name-signed-otherwise", text.encode(errors="replace")
        if _NUMBER.fullmatch(stamped):
            for other in (f"{stamped}000", stamped[:-3]):
                text = username.replace(stamped, other, 1)
                yield "name-signed-in-milliseconds", text.encode(errors="replace")
    others = {username + "\n", username + "\r\n", f'"{username}"', username.strip()}
    others |= {quote(username, safe=""), unquote(username), username.lower(), username.upper()}
    for text in others - {username}:
        yield "name-signed-otherwise", text.encode(errors="replace")
    yield "nothing-signed", b""
    if realm:
        for text in (f"{username}@{realm}", f"{username}:{realm}", f"{realm}:{username}"):
            yield "name-signed-with-realm", text.encode(errors="replace")


_OTHER_DIGESTS = ("sha256", "sha512", "sha384", "sha224", "md5", "sha3_256")
_PLAIN_DIGESTS = ("sha1", "sha256", "md5")


def _digests(key: bytes, message: bytes, username: str, realm: str) -> Iterator[Step]:
    """Digests that an issuer may make from key and message, HMAC-SHA1 first."""
    yield "", hmac.digest(key, message, "sha1")
    for algorithm in _OTHER_DIGESTS:
        yield "other-digest", hmac.digest(key, message, algorithm)
    if message:
        yield "arguments-swapped", hmac.digest(message, key, "sha1")
    for text in (key + message, message + key, key + b":" + message, message + b":" + key):
        for algorithm in _PLAIN_DIGESTS:
            yield "no-hmac", hashlib.new(algorithm, text, usedforsecurity=False).digest()
    if realm:
        right = base64.b64encode(hmac.digest(key, message, "sha1"))
        for password in (key, right):
            text = f"{username}:{realm}:".encode(errors="replace") + password
            yield "long-term-key", hashlib.new("md5", text, usedforsecurity=False).digest()


# --- from text back to the digest --------------------------------------------------------------


def _decoded(password: str) -> Iterator[Step]:
    """The digests that this text may encode, each with the mistake in the encoding."""
    yield from _plainly(password)
    repaired: tuple[tuple[str, Iterable[str]], ...] = (
        ("percent-encoded", (unquote(password), unquote(unquote(password)))),
        ("plus-as-blank", (password.replace(" ", "+"),)),
        ("escaped", _unescaped(password)),
        ("password-with-newline", ("".join(password.split()),)),
        ("password-in-quotes", _unquoted(password)),
    )
    for name, texts in repaired:
        for text in texts:
            if text == password:
                continue
            for inner, raw in _plainly(text):
                # Two of these at once are too many for one sentence.
                if not inner:
                    yield name, raw


def _plainly(text: str) -> Iterator[Step]:
    padded = text + "=" * (-len(text) % 4)
    standard = _strict_base64(text)
    if standard is not None:
        yield "", standard
        yield from _inside(standard)
    elif (unpadded := _strict_base64(padded)) is not None:
        yield "no-padding", unpadded
    if (safe := _strict_base64(padded.replace("-", "+").replace("_", "/"))) is not None:
        yield "url-safe", safe
    if (raw := _from_hex(text.removeprefix("0x"))) is not None:
        yield "hex-digest", raw
    with contextlib.suppress(binascii.Error, ValueError):
        yield "base32", base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    with contextlib.suppress(UnicodeEncodeError):
        yield "raw-bytes", text.encode("latin-1")


def _inside(decoded: bytes) -> Iterator[Step]:
    """Bytes that are encoded within base64: as hex, or as base64 once more."""
    try:
        text = decoded.decode("ascii")
    except UnicodeDecodeError:
        return
    if (raw := _from_hex(text)) is not None:
        yield "base64-of-hex", raw
    if (again := _strict_base64(text.strip())) is not None:
        yield "double-base64", again


def _unescaped(text: str) -> tuple[str, ...]:
    try:
        once = str(json.loads(f'"{text}"'))
    except ValueError:
        once = text
    return html.unescape(text), once


def _unquoted(text: str) -> tuple[str, ...]:
    found = re.fullmatch(r"b?(['\"`])(.*)\1", text)
    return (found[2],) if found else ()


def _strict_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _from_base64(text: str) -> Iterator[bytes]:
    """A text read as base64 of either alphabet, with or without padding."""
    padded = text.replace("-", "+").replace("_", "/")
    raw = _strict_base64(padded + "=" * (-len(padded) % 4))
    if raw:
        yield raw


def _from_hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text) if text and " " not in text else None
    except ValueError:
        return None
