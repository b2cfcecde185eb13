"""How a command ends when it cannot do what was asked."""

from __future__ import annotations

import click

__all__ = ["Failure", "Misuse"]


class Misuse(click.ClickException):
    """Wrong usage: something typed or given that cannot be used. Exit status 2."""

    exit_code = 2


class Failure(click.ClickException):
    """turnctl could not do its job. Exit status 3."""

    exit_code = 3
