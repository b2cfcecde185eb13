"""Runs blocking calls (DNS, HTTP, files) in threads that can't keep the process alive.

asyncio's own executor is joined at exit, so a getaddrinfo that hangs would outlive Ctrl-C. These
threads are daemons: the process can end while one still runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["call"]

T = TypeVar("T")


async def call(function: Callable[[], T], *, patience: float | None) -> T:
    """`function()` in a thread. Raises TimeoutError after `patience` seconds, None for never."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as raised:  # passed on to the waiting task, whatever it is
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True, name="turnctl-blocking").start()
    async with asyncio.timeout(patience):
        return await done
