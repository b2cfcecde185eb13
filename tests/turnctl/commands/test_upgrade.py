"""`turnctl upgrade --next` as deploy/upgrade calls it."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from turnctl.commands import turnctl


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["coturn/coturn:1"], "run deploy/upgrade coturn/coturn:1 on the host"),
        (["--next", "$(reboot)"], "is not an image such as"),
        (["--next", "a b"], "is not an image such as"),
        (["--next", "--drain", "2h", "x"], "(RELAY_DRAIN) '2h' is not a whole number of seconds"),
        (["--next", "--drain", "", "x"], "(RELAY_DRAIN) '' is not a whole number of seconds"),
    ],
)
def test_nonsense_is_wrong_usage(arguments: list[str], told: str) -> None:
    """Before anything is read."""
    done = CliRunner().invoke(turnctl, ["upgrade", *arguments])
    assert (2, True) == (done.exit_code, told in done.output), done.output


def test_what_cannot_be_read_is_said() -> None:
    """An old deploy/upgrade with a new turnctl."""
    done = CliRunner().invoke(turnctl, ["upgrade", "--next", "x"], input="something")
    assert 3 == done.exit_code
    assert "the input from deploy/upgrade can't be read" in done.output
