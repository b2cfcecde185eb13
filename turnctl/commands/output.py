"""Writes a report to standard output or to a file: all of it or nothing.

If the file can't be written, the command says so before it sends any packet.
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
    """Give a command --format and --output, as the parameters `format_` and `output`.

    The first of the formats is the default.
    """
    how = click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Format of the report.",
    )
    where = click.option(
        "--output",
        type=click.Path(path_type=Path),
        metavar="FILE",
        callback=_writable,
        help="Write the report to this file instead of standard output.",
    )
    return lambda command: how(where(command))


def deliver(text: str, output: Path | None) -> None:
    """Print or write the report; `text` ends with a newline. Raises Failure."""
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


def _writable(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that can't be written. Raises Misuse or Failure."""
    if path is None:
        return None
    folder = path.parent
    if path.is_dir():
        raise Misuse(f"--output {path}: is a directory; give a file")
    if not folder.is_dir():
        raise Misuse(f"--output {path}: there is no directory {folder}")
    if not _special(path) and not os.access(folder, os.W_OK):
        raise Failure(f"--output {path}: you can't write to {folder}")
    return path


def _write(path: Path, text: str) -> None:
    """Write beside the file and rename, so that the report is whole. Raises Failure."""
    try:
        if _special(path):
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # replace the file that a link points to
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
    """Whether it is a device or a pipe, such as /dev/stdout: written to, never replaced."""
    return path.exists() and not path.is_file()
