"""The entry point: exit statuses, and one line for each error.

Everything is imported inside `main`, so that Ctrl-C ends quietly even while modules load.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import click

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT, as in shells."""

NAGIOS_UNKNOWN = 3

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""Errors of writing to standard output. An error about a file names that file."""


def main() -> NoReturn:
    """Run turnctl and exit: 0 done, 1 a failing finding, 2 wrong usage, 3 it can't do its job."""
    try:
        _ready_standard_streams()
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _ready_standard_streams() -> None:
    """Replace streams that the caller has closed. A terminal whose alphabet has no arrow gets a
    question mark.
    """
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115  open until the end
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _run() -> int:
    import click

    from turnctl.commands import turnctl

    try:
        # Not `turnctl.main`: it exits with 1, a failing finding, if the output is closed.
        with turnctl.make_context("turnctl", sys.argv[1:]) as context:
            status = turnctl.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        where = getattr(error, "ctx", None)
        command = where.command_path if where else "turnctl"
        if _reports_to_nagios(sys.argv):
            click.echo(f"TURN UNKNOWN - {_one_line(error)}")
            return NAGIOS_UNKNOWN
        click.echo(f"{command}: {_one_line(error)}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = None  # its reader is gone
        return 3
    except OSError as error:
        sys.stdout = None  # Python can't write the rest at exit either
        name = error.filename or ("standard output" if error.errno in FULL else "")
        click.echo(f"turnctl: {name}{': ' if name else ''}{error.strerror or error}", err=True)
        return 3
    return status if isinstance(status, int) else 0


def _reports_to_nagios(argv: list[str]) -> bool:
    """Whether the report is for Nagios. Its plugins print UNKNOWN on standard output if the check
    could not be made, even for wrong usage.
    """
    from itertools import pairwise

    return "--format=nagios" in argv or ("--format", "nagios") in pairwise(argv)


def _one_line(error: click.ClickException) -> str:
    import click

    from turnctl.reports.text import printable

    message = printable(" ".join(error.format_message().split()))
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')} (see {error.ctx.command_path} --help)"
    return message
