"""How a command's work ends: its result, one of the command's errors, or the first of a group."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

import pytest

from turnctl.check.examine import NothingLeft
from turnctl.check.targets import NoServers, TargetError
from turnctl.commands.errors import Failure, Misuse
from turnctl.commands.running import first_error, run


async def give() -> int:
    return 7


async def fail(error: Exception) -> NoReturn:
    raise error


def test_a_result() -> None:
    """It is the coroutine's."""
    assert 7 == run(give())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TargetError("no such file"), Misuse),
        (NothingLeft("no such file"), Misuse),
        (NoServers("no such file"), Failure),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [OSError("no such file")])]), OSError),
        (OSError("no such file"), OSError),
    ],
)
def test_an_error(error: Exception, kind: type[Exception]) -> None:
    """Those of the caller and of a target have their exit statuses."""
    with pytest.raises(kind, match="no such file"):
        run(fail(error))


def test_sigterm() -> None:
    """The work is cancelled, and the status is the shell's for SIGTERM."""

    async def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        import asyncio

        await asyncio.Event().wait()

    with pytest.raises(SystemExit) as ended:
        run(stop())
    assert 143 == ended.value.code


def test_the_first_error_of_a_group() -> None:
    """However deep; an error of its own is itself."""
    error = OSError()
    assert first_error(ExceptionGroup("a", [ExceptionGroup("b", [error]), ValueError()])) is error
    assert first_error(error) is error
