"""The entry point: exit statuses, and one line for whatever went wrong.

Everything is imported inside `main`, so that Ctrl-C ends quietly even while modules load.
"""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]

INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def main() -> NoReturn:
    """Run turnctl. 0 done, 1 a failing finding, 2 wrong usage, 3 could not do its job."""
    try:
        sys.exit(_run())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> int:
    import click

    from turnctl.commands import turnctl

    try:
        status = turnctl.main(prog_name="turnctl", standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "turnctl"
        click.echo(f"{command}: {_one_line(error)}", err=True)
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stdout = None  # nobody reads it any more
        return 3
    return status if isinstance(status, int) else 0


def _one_line(error: object) -> str:
    import click

    message = (
        " ".join(error.format_message().split()) if isinstance(error, click.ClickException) else ""
    )
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.rstrip('.')} (see {error.ctx.command_path} --help)"
    return message
