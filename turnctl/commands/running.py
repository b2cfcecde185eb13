"""Runs a command's coroutine. SIGTERM releases its allocations as Ctrl-C does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from turnctl.commands.errors import Failure, Misuse

__all__ = ["first_error", "run"]

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. Raises Misuse for a target that can't be used, Failure for one that
    gives nothing to work with, and the first error of a group. After SIGTERM it exits.
    """
    from turnctl.check.targets import NoServers, TargetError

    try:
        return asyncio.run(_stopped_by_sigterm(work))
    except TargetError as error:
        raise Misuse(str(error)) from error
    except NoServers as error:
        raise Failure(str(error)) from error
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
    except ExceptionGroup as group:
        raise first_error(group) from group


def first_error(error: Exception) -> Exception:
    """The first error that task groups wrapped: usually an output that can't be written."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def _stopped_by_sigterm(work: Coroutine[Any, Any, T]) -> T:
    """`timeout` and container engines send SIGTERM."""
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
