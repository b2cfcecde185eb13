"""Where a report goes: to standard output or into a file, all of it or nothing. A file that cannot
be written is refused before any packet is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from turnctl.commands.errors import Failure, Misuse

__all__ = ["deliver", "report_options"]

F = TypeVar("F", bound=Callable[..., Any])


def report_options(*formats: str) -> Callable[[F], F]:
    """Give a command --format, the first of these by default, and --output: the parameters
    `format_` and `output`.
    """
    how = click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="How to report.",
    )
    where = click.option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=_writable,
        help="Write the report there instead of to standard output.",
    )
    return lambda command: how(where(command))


def deliver(text: str, output: Path | None) -> None:
    """The report, with its last newline. Raises Failure."""
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _writable(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """A report that cannot be kept is no reason to make one. Raises Misuse or Failure."""
    if path is None:
        return None
    folder = path.parent
    if path.is_dir():
        raise Misuse(f"--output {path}: is a directory; give a file")
    if not folder.is_dir():
        raise Misuse(f"--output {path}: there is no directory {folder}")
    if not _special(path) and not os.access(folder, os.W_OK):
        raise Failure(f"--output {path}: no permission to write in {folder}")
    return path


def _write(path: Path, text: str) -> None:
    """A half-written report would be read as a whole one. Raises Failure."""
    try:
        if _special(path):
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # of a link, what it points to is replaced
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failure(f"--output {path}: {error.strerror}; the report was not written") from error


def _special(path: Path) -> bool:
    """A device or a pipe, such as /dev/stdout: it is written to, never replaced."""
    return path.exists() and not path.is_file()
