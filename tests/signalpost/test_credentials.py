"""TURN REST credentials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalpost.credentials import (
    LAST_EXPIRY,
    MAX_USERNAME_BYTES,
    Audience,
    Secret,
    TtlPolicy,
    Username,
    Verdict,
    mint,
    opaque_user_id,
    password_for,
    read_username,
    verify,
)

OLD, NEW = Secret("old-secret-0123456789"), Secret("new-secret-0123456789")
NOW = 1_700_000_000.9
USERS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=":'\"\\ "))


def test_check_vector() -> None:
    """The password of a known secret and username is the published one."""
    assert password_for(Secret("foobar"), "1599491771") == "Tpz/nKkyvX/vMSLKvL4sbtBt8Vs="


def test_mint() -> None:
    """A credential names expiry and user, and counts from whole seconds."""
    credential = mint([NEW], "alice", now=NOW, ttl=600)
    assert credential.username == "1700000600:alice"
    assert (credential.expires, credential.ttl) == (1_700_000_600, 600)


def test_mint_without_a_user() -> None:
    """Without a user the username is the timestamp alone."""
    assert mint([NEW], "", now=NOW, ttl=1).username == "1700000001"


def test_the_first_secret_mints_and_all_verify() -> None:
    """While rotating, credentials of both secrets hold and new ones use the first."""
    fresh, stale = mint([NEW, OLD], "a", now=NOW, ttl=9), mint([OLD], "a", now=NOW, ttl=9)
    assert fresh.password == password_for(NEW, fresh.username)
    for credential in (fresh, stale):
        verdict = verify([NEW, OLD], credential.username, credential.password, now=NOW)
        assert verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("verdict", "username", "secret", "later"),
    [
        (Verdict.VALID, None, NEW, 599),
        (Verdict.EXPIRED, None, NEW, 600),
        (Verdict.WRONG_PASSWORD, None, OLD, 0),
        (Verdict.WRONG_PASSWORD, None, OLD, 9_999),
        (Verdict.NO_TIMESTAMP, "alice", NEW, 0),
    ],
)
def test_verify(verdict: Verdict, username: str | None, secret: Secret, later: int) -> None:
    """Every way a credential can fail has its own verdict."""
    name = username or mint([NEW], "alice", now=NOW, ttl=600).username
    assert verify([NEW], name, password_for(secret, name), now=int(NOW) + later) is verdict


@pytest.mark.parametrize("user", ["a:b", "é", "a\nb"])
def test_mint_refuses_users(user: str) -> None:
    """A user id that coturn would miscount or that does not travel is refused."""
    with pytest.raises(ValueError, match="printable ASCII"):
        mint([NEW], user, now=NOW, ttl=1)


@pytest.mark.parametrize("user", ["a b", "o'hara", 'a"b', "a\\b"])
def test_mint_refuses_what_coturn_calls_a_bad_request(user: str) -> None:
    """coturn answers a name with a blank, a quote or a backslash with 400."""
    with pytest.raises(ValueError, match="blank, quote or backslash"):
        mint([NEW], user, now=NOW, ttl=1)


def test_mint_refuses_a_name_that_is_too_long() -> None:
    """508 bytes are the most that every server takes, the timestamp included."""
    most = MAX_USERNAME_BYTES - len("1700000001:")
    assert len(mint([NEW], "u" * most, now=NOW, ttl=1).username) == 508
    with pytest.raises(ValueError, match="has 509 bytes, and at most 508"):
        mint([NEW], "u" * (most + 1), now=NOW, ttl=1)


def test_mint_refuses_without_secret_or_time() -> None:
    """Nothing is minted without a secret or for less than a second."""
    with pytest.raises(ValueError, match="no TURN secret"):
        mint([], "a", now=NOW, ttl=1)
    with pytest.raises(ValueError, match="at least 1 second"):
        mint([NEW], "a", now=NOW, ttl=0)


@given(user=USERS, now=st.floats(1e9, 2e9), ttl=st.integers(1, 86_400))
def test_read_what_was_minted(user: str, now: float, ttl: int) -> None:
    """A username reads back as the expiry and user it was made of, and verifies."""
    credential = mint([NEW], user, now=now, ttl=ttl)
    assert read_username(credential.username) == Username(int(now) + ttl, user)
    verdict = verify([OLD, NEW], credential.username, credential.password, now=int(now))
    assert verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("username", "expires", "user"),
    [
        ("1990000000:bob", 1_990_000_000, "bob"),
        ("1990000000", 1_990_000_000, ""),
        ("1990000000:", 1_990_000_000, ""),
        ("3600:bob", 3_600, "bob"),
        ("1990000000:a:b", 1_990_000_000, "a:b"),
        ("bob:1990000000", 1_990_000_000, "bob"),
        ("bob:1990000000:x", 1_990_000_000, "bob"),
        (":1990000000", 1_990_000_000, ""),
        ("1990000000-bob", 1_990_000_000, "bob"),
        ("1990000000bob", 1_990_000_000, "ob"),
        ("1990000000%3Abob", 1_990_000_000, "3Abob"),
        ("bob", None, "bob"),
        ("bob:7", None, "bob:7"),
        ("7bob", None, "7bob"),
        ("1001", None, "1001"),
        ("alice:correct-horse", None, "alice:correct-horse"),
        ("bob:a:1990000000", None, "bob:a:1990000000"),
        ("1990000000.5:bob", None, "1990000000.5:bob"),
        ("2030-01-01T00:00:00Z:bob", None, "2030-01-01T00:00:00Z:bob"),
    ],
)
def test_names_as_coturn_reads_them(username: str, expires: int | None, user: str) -> None:
    """The time may stand first or after the user; without a colon a name may begin with it."""
    assert read_username(username) == Username(expires, user)


@pytest.mark.parametrize("expires", [2**31, 3_999_999_999, 9_999_999_999])
def test_a_time_past_32_bits_has_ended(expires: int) -> None:
    """coturn keeps the time in 32 bits with a sign, so that it wraps around after 2038-01-19."""
    name = f"{expires}:bob"
    assert verify([NEW], name, password_for(NEW, name), now=NOW) is Verdict.EXPIRED
    last = f"{LAST_EXPIRY}:bob"
    assert verify([NEW], last, password_for(NEW, last), now=NOW) is Verdict.VALID
    with pytest.raises(ValueError, match="after 2038"):
        mint([NEW], "bob", now=LAST_EXPIRY - 1, ttl=2)


@given(text=st.text())
def test_any_text_is_a_username(text: str) -> None:
    """Reading and verifying never fail: any text may be a static user's name."""
    read = read_username(text)
    assert read.expires is not None or read.user == text
    assert verify([NEW], text, text, now=NOW) in set(Verdict)


def test_opaque_user_id() -> None:
    """The id is stable, hides the name, and another key gives another id."""
    one = opaque_user_id(NEW, "alice")
    assert one == opaque_user_id(NEW, "alice")
    assert len({one, opaque_user_id(OLD, "alice"), opaque_user_id(NEW, "bob")}) == 3
    assert len(one) == 20
    assert mint([NEW], one, now=NOW, ttl=1)


def test_secrets_do_not_show() -> None:
    """Neither repr, str nor format show a secret or a password."""
    credential = mint([NEW], "a", now=NOW, ttl=1)
    shown = f"{NEW} {NEW!r} {credential!r} {[NEW]}"
    assert NEW.reveal() not in shown
    assert credential.password not in shown


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("short", "has 5 characters"),
        ('"quoted-secret-0123456789"', "quotes or blanks"),
        (" blank-secret-0123456789", "quotes or blanks"),
        ("inner blank 0123456789", "printable ASCII"),
        ("sécret-0123456789-abc", "printable ASCII"),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", "repeats"),
    ],
)
def test_weakness(value: str, reason: str) -> None:
    """A weak secret is refused with the reason."""
    assert reason in (Secret(value).weakness() or "")


def test_strong_secret() -> None:
    """A generated secret has no weakness."""
    assert NEW.weakness() is None


@pytest.mark.parametrize(
    ("audience", "requested", "ttl"),
    [
        (Audience.NATIVE, None, 600),
        (Audience.PAGE, None, 14_400),
        (Audience.GUEST, None, 3_600),
        (Audience.PAGE, 60, 60),
        (Audience.PAGE, 999_999, 86_400),
        (Audience.GUEST, 7_200, 3_600),
        (Audience.GUEST, 60, 60),
        (Audience.NATIVE, 0, 1),
    ],
)
def test_ttl_policy(audience: Audience, requested: int | None, ttl: int) -> None:
    """Each audience has its default and its cap; guests get no more than their default."""
    assert TtlPolicy().ttl(audience, requested) == ttl
