"""The secret of web hooks."""

from __future__ import annotations

import base64
import subprocess

import pytest

from signalpost import hooksecret


@pytest.mark.parametrize("size", [24, 32, 64])
def test_the_key(size: int) -> None:
    """It is what follows the prefix, decoded."""
    key = bytes(range(size))
    assert key == hooksecret.signing_key("whsec_" + base64.b64encode(key).decode())


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_é", "whsec_not base64", base64.b64encode(bytes(32)).decode()]
    + ["whsec_" + base64.b64encode(bytes(size)).decode() for size in (23, 65)],
)
def test_what_is_no_secret(secret: str) -> None:
    """Another prefix, another alphabet, too few or too many bytes."""
    with pytest.raises(ValueError):  # noqa: PT011  base64 has its own text
        hooksecret.signing_key(secret)


def test_the_command_makes_one() -> None:
    """The command that the documents and the mistakes show prints a usable secret."""
    made = subprocess.run(hooksecret.MAKE, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    assert 32 == len(hooksecret.signing_key(made.stdout.strip()))
