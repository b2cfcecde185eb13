"""The entry point of `signalpost`: exit statuses, and one line for wrong usage.

Everything is imported inside `main`, so that Ctrl-C ends quietly even while modules load. Once the
service listens, it handles the signals itself.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""


def main() -> NoReturn:
    """Run signalpost. 0 ended as asked, 2 wrong usage or configuration, 3 couldn't do its job."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> int:
    import click

    from signalpost.commands import command

    try:
        # Not `command.main`: it prints four lines for wrong usage.
        with command.make_context("signalpost", sys.argv[1:]) as context:
            command.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "signalpost"
        reason = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"{where}: {reason} (see {where} --help)", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"signalpost: {error.format_message()}", err=True)
        return error.exit_code
    return 0
