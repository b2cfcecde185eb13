"""The errors that end a command, with their exit statuses."""

from __future__ import annotations

import click

__all__ = ["Failure", "Misuse"]


class Misuse(click.ClickException):
    """Wrong usage: an argument, an option or a file that can't be used. Exit status 2."""

    exit_code = 2


class Failure(click.ClickException):
    """turnctl could not do its job. Exit status 3."""

    exit_code = 3
