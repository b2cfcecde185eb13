"""coturn's options: the table of versions, and how coturn reads a boolean."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.lab.parts import require
from turnctl.coturn.options import BOOLEAN, KNOWN, SHORT, Support, support, truth
from turnctl.coturn.versions import Version


@pytest.mark.parametrize(
    ("option", "version", "expected"),
    [
        ("realm", None, Support.KNOWN),
        ("use-auth-secrets", Version(4, 6, 1), Support.UNKNOWN),
        ("use-auth-secrets", None, Support.UNKNOWN),
        ("use-auth-secrets", Version(4, 19), Support.UNTRIED),
        ("no-tlsv1", Version(4, 6, 1), Support.KNOWN),
        ("no-tlsv1", Version(4, 7), Support.DROPPED),
        ("no-dtls", Version(4, 16), Support.UNTRIED),
        ("no-dtls", None, Support.UNTRIED),
        ("cli", Version(4, 6, 1), Support.LATER),
        ("cli", Version(4, 12), Support.UNTRIED),
        ("cli", Version(4, 18), Support.KNOWN),
    ],
)
def test_which_version_knows_an_option(
    option: str, version: Version | None, expected: Support
) -> None:
    """It is known for the versions that were tried, and open between and after them."""
    assert expected == support(option, version)


def test_the_table_is_this_coturns() -> None:
    """Every option in the installed coturn's help is in the table."""
    require("turnserver")
    said = subprocess.run(["turnserver", "-h"], capture_output=True, text=True, check=False)
    listed = {
        found[1]
        for line in said.stdout.splitlines()
        if (found := re.match(r"\s*(?:-\w, )?--([A-Za-z0-9_-]+)", line))
    }
    assert len(listed) > 80
    assert set() == listed - KNOWN - {"help", "version"}
    assert set() == BOOLEAN - KNOWN
    assert set() == set(SHORT.values()) - KNOWN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", True),
        ("yes", True),
        ("true", True),
        ("1", True),
        ("On", True),
        ("no", False),
        ("f", False),
        ("0", False),
        ("off", False),
        ("oN", None),
        ("maybe", None),
    ],
)
def test_booleans(value: str, expected: bool | None) -> None:
    """The first character decides; at anything else coturn stops."""
    assert expected is truth(value)
