"""Who a caller is: API keys, join tokens, guests."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.access.auth import Authenticator, Kind
from signalpost.config.settings import Guests
from signalpost.credentials import Secret
from signalpost.errors import GuestRefused, NotConfigured, PermissionDenied, Unauthorized
from signalpost.tokens import Permission
from tests.signalpost.cases import CASES
from tests.signalpost.running import API_KEY, NOW, SETTINGS, TOKEN_KEY

AUTH = SETTINGS.auth
OTHER_KEY = "another-token-key-0123456789-abcdef"
CLAIMS = {"sub": "ann", "aud": "signalpost", "exp": NOW + 60}
HEADER = {"typ": "join+jwt"}


def _authenticator(**changes: object) -> Authenticator:
    return Authenticator(replace(AUTH, **changes), lambda: NOW)  # type: ignore[arg-type]


def _signed(
    claims: dict[str, object], key: str = TOKEN_KEY, algorithm: str = "HS256", **header: object
) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={**HEADER, **header})


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_of_ours() -> None:
    """A token that we issued names its user, rooms and permissions."""
    auth = _authenticator()
    issued = auth.issue("ann", ttl=60, rooms=["r"], permissions=[Permission.JOIN])
    principal = auth.token(issued.token)
    assert (principal.kind, principal.user_id) == (Kind.USER, auth.user_id("ann"))
    assert principal.rooms == frozenset({"r"})
    assert principal.permissions == frozenset({Permission.JOIN})
    assert issued.expires == int(NOW) + 60


def test_a_token_of_a_back_end() -> None:
    """A token that a back end signed itself is as good, aud as a list included."""
    principal = _authenticator().token(_signed({**CLAIMS, "aud": ["other", "signalpost"]}))
    assert (principal.rooms, principal.permissions) == (None, frozenset(Permission))


def test_every_key_verifies_and_the_first_signs() -> None:
    """While keys rotate, tokens of both hold and new ones are signed by the first."""
    auth = _authenticator(token_keys=(Secret(OTHER_KEY), Secret(TOKEN_KEY)))
    assert auth.token(_signed(CLAIMS)).kind is Kind.USER
    fresh = auth.issue("ann", ttl=60).token
    only = _authenticator(token_keys=(Secret(OTHER_KEY),))
    assert only.token(fresh).kind is Kind.USER


UNSIGNED = f"{_part({'alg': 'none', **HEADER})}.{_part(CLAIMS)}."
GOOD = _signed(CLAIMS)
FORGED = {
    "empty": "",
    "not a token": "hello",
    "dots": "..",
    "none": UNSIGNED,
    "None": f"{_part({'alg': 'None', **HEADER})}.{_part(CLAIMS)}.",
    "signature cut off": GOOD.rpartition(".")[0] + ".",
    "signature changed": GOOD[:-2] + ("AA" if GOOD[-2:] != "AA" else "BB"),
    "another key": _signed(CLAIMS, OTHER_KEY),
    "the id key": _signed(CLAIMS, "an-id-key-0123456789-0123456789-01"),
    "HS512": _signed(CLAIMS, TOKEN_KEY * 2, "HS512"),
    "HS384 with our key": _signed(CLAIMS, TOKEN_KEY + "0123456789abcd", "HS384"),
    "claims exchanged": ".".join(
        [GOOD.split(".")[0], _part({**CLAIMS, "sub": "root"}), GOOD.split(".")[2]]
    ),
    "key by jwk": _signed(
        CLAIMS, OTHER_KEY, jwk={"kty": "oct", "k": _part(OTHER_KEY), "alg": "HS256"}
    ),
    "key by jku": _signed(CLAIMS, OTHER_KEY, jku="http://127.0.0.1:1/keys"),
    "key by x5u": _signed(CLAIMS, OTHER_KEY, x5u="http://127.0.0.1:1/cert"),
    "kid path": _signed(CLAIMS, OTHER_KEY, kid="/dev/null"),
    "expired": _signed({**CLAIMS, "exp": NOW}),
    "no expiry": _signed({"sub": "ann", "aud": "signalpost"}),
    "not yet": _signed({**CLAIMS, "nbf": NOW + 60}),
    "another audience": _signed({**CLAIMS, "aud": "elsewhere"}),
    "no audience": _signed({"sub": "ann", "exp": NOW + 60}),
    "no subject": _signed({"aud": "signalpost", "exp": NOW + 60}),
    "subject is empty": _signed({**CLAIMS, "sub": ""}),
    "another type": _signed(CLAIMS, typ="JWT"),
    "no type": _signed(CLAIMS, typ=None),
    "unknown permission": _signed({**CLAIMS, "permissions": ["root"]}),
    "rooms is text": _signed({**CLAIMS, "rooms": "r"}),
    "huge": _signed({**CLAIMS, "x": "x" * 10_000}),
    "not ascii": "é.é.é",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED)
def test_forged_tokens(token: str) -> None:
    """No forgery passes, neither as a token nor as a bearer."""
    auth = _authenticator()
    with pytest.raises(Unauthorized):
        auth.token(token)
    with pytest.raises(Unauthorized):
        auth.bearer(token)


def test_headers_that_name_keys_are_ignored() -> None:
    """A good token is not made better or worse by headers that name keys."""
    token = _signed(CLAIMS, jku="http://127.0.0.1:1/keys", jwk={"kty": "oct", "k": "AA"})
    assert _authenticator().token(token).kind is Kind.USER


@settings(max_examples=CASES, deadline=None)
@given(text=st.text())
def test_any_bearer_is_judged(text: str) -> None:
    """Any text raises Unauthorized."""
    with pytest.raises(Unauthorized):
        _authenticator().bearer(text)


def test_clock_skew_only_for_not_before() -> None:
    """An issuer's clock may run 5 s fast; an expired token is not stretched."""
    assert _authenticator().token(_signed({**CLAIMS, "nbf": NOW + 5})).kind is Kind.USER


def test_api_key() -> None:
    """The holder of an API key is a server, and other keys are not API keys."""
    auth = _authenticator()
    assert auth.bearer(API_KEY).kind is Kind.SERVER
    with pytest.raises(Unauthorized):
        auth.bearer(TOKEN_KEY)


def test_guests() -> None:
    """A guest is known by its network, and admitted as configured."""
    auth = _authenticator()
    guest = auth.guest("192.0.2.1", own_page=True)
    assert guest.kind is Kind.GUEST
    assert guest.user_id == auth.guest("192.0.2.1", own_page=True).user_id
    assert guest.user_id != auth.guest("192.0.2.2", own_page=True).user_id
    with pytest.raises(GuestRefused):
        auth.guest("192.0.2.1", own_page=False)
    assert _authenticator(guests=Guests.OPEN).guest("192.0.2.1", own_page=False) == guest
    with pytest.raises(Unauthorized):
        _authenticator(guests=Guests.OFF).guest("192.0.2.1", own_page=True)


def test_user_ids_do_not_depend_on_other_keys() -> None:
    """Rotating API and token keys changes no user id."""
    rotated = _authenticator(api_keys=(), token_keys=(Secret(OTHER_KEY),))
    assert rotated.user_id("ann") == _authenticator().user_id("ann")


def test_no_token_keys() -> None:
    """Without token keys none is issued and none is accepted."""
    auth = _authenticator(token_keys=())
    with pytest.raises(NotConfigured):
        auth.issue("ann", ttl=60)
    with pytest.raises(Unauthorized):
        auth.token(GOOD)


def test_rights() -> None:
    """A principal is held to its rooms and permissions."""
    auth = _authenticator()
    token = auth.issue("ann", ttl=60, rooms=["r"], permissions=[Permission.JOIN]).token
    principal = auth.token(token)
    principal.require(Permission.JOIN)
    principal.require_room("r")
    with pytest.raises(PermissionDenied):
        principal.require(Permission.ICE)
    with pytest.raises(PermissionDenied):
        principal.require_room("s")


def test_the_id_key_is_needed() -> None:
    """Without an id key there are no user ids, so there is no authenticator."""
    with pytest.raises(ValueError, match=r"auth\.id_key"):
        Authenticator(replace(AUTH, id_key=None), time.time)
