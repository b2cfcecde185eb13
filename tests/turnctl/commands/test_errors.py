"""The errors that end a command."""

from __future__ import annotations

import click
import pytest

from turnctl.commands.errors import Failure, Misuse


@pytest.mark.parametrize(("kind", "status"), [(Misuse, 2), (Failure, 3)])
def test_exit_statuses(kind: type[click.ClickException], status: int) -> None:
    """2 for wrong usage, 3 for what could not be done, as --help of `check` says."""
    assert status == kind("").exit_code


def test_the_message_is_printed_as_it_is() -> None:
    """Without click's own words around it."""
    assert "no such file" == Misuse("no such file").format_message()
