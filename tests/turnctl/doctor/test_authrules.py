"""Who gets in: mechanisms in their order, credentials and the realm."""

from __future__ import annotations

import pytest

from turnctl.coturn.parsing import parse
from turnctl.doctor.authrules import is_open, judge

SECRET = "static-auth-secret=0123456789abcdef0123456789abcdef\n"
USER = "lt-cred-mech\nuser=alice:correct-horse\n"
REALM = "realm=r\n"


def findings(text: str) -> list[tuple[str, str, str]]:
    """Code, severity and place of each finding."""
    return [(f.code, f.severity, f.url) for f in judge(parse("f", text))]


@pytest.mark.parametrize(
    "text",
    [
        f"{REALM}{SECRET}",
        f"{REALM}use-auth-secret\nuserdb=/x\n",
        f"{REALM}{USER}",
        f"{REALM}user=alice:correct-horse\n",
        f"{REALM}no-auth=no\n{SECRET}",
    ],
)
def test_nothing_is_wrong(text: str) -> None:
    """One mechanism, with credentials and a realm."""
    assert [] == findings(text)
    assert not is_open(parse("f", text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REALM, ("open-relay", "fail", "f")),
        (f"{REALM}no-auth\n", ("open-relay", "fail", "f:2")),
        (f"{REALM}{SECRET}no-auth=no\n", ("open-relay", "fail", "f:3")),
        (f"{REALM}{SECRET}lt-cred-mech=no\n", ("open-relay", "fail", "f:3")),
        (f"{REALM}{SECRET}lt-cred-mech\n", ("auth-mechanisms-mixed", "warn", "f:3")),
        (f"{REALM}{SECRET}{USER}", ("auth-mechanisms-mixed", "warn", "f:4")),
        (f"{REALM}use-auth-secret\n", ("credentials-missing", "warn", "f")),
        (f"{REALM}lt-cred-mech\n", ("credentials-missing", "warn", "f")),
        (SECRET, ("realm-missing", "fail", "f")),
        (f"{SECRET}realm=\n", ("realm-missing", "fail", "f:2")),
    ],
)
def test_one_thing_is_wrong(text: str, expected: tuple[str, str, str]) -> None:
    """The last line of a mechanism counts. Each finding has its line, if there is one."""
    assert [expected] == findings(text)


def test_an_open_relay_beside_a_secret() -> None:
    """coturn doesn't start with both, and the summary says so."""
    (one,) = judge(parse("f", f"{REALM}{SECRET}no-auth\n"))
    assert "beside static-auth-secret it doesn't even start" in one.summary
