"""Sends web hooks to the back end.

Posting an event never waits. Events of one room or one call are sent one at a time and in order:
they share a queue, and a failing event delays only its own queue. Queues are bounded and live in
memory.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import re
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

import signalpost
from signalpost.config.settings import Hooks
from signalpost.credentials import Secret
from signalpost.deadlines import Deadlines
from signalpost.logs import LOGGER, Field, emit
from signalpost.metrics import HookResult, Metrics
from signalpost.webhooks import events as hooks
from signalpost.webhooks.events import Event, sign

__all__ = ["WebhookSender"]

QUEUES = 8
MAX_QUEUED = 10_000
"""Events of about 300 bytes each."""
TIMEOUT_SECONDS = 10.0
MAX_RETRY_AFTER = 3_600
ID_BYTES = 16


@dataclass(slots=True)
class _Message:
    kind: str
    body: bytes
    name: str = field(default_factory=lambda: f"msg_{secrets.token_hex(ID_BYTES)}")
    """The same at every attempt, so that the receiver recognizes a repeat."""


@dataclass(slots=True)
class _Queue:
    messages: deque[_Message] = field(default_factory=deque)
    work: asyncio.Task[None] | None = None
    """None while the queue is empty."""


class _Gone(Exception):
    """The receiver wants no more events."""


class _Failed(Exception):
    """An attempt failed. `retry_after`: the receiver asked us to wait this many seconds."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(reason)


def _delay(failures: int) -> float | None:
    return hooks.delay(failures, random.uniform(-1, 1))  # noqa: S311  jitter


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()


class WebhookSender:
    """`clock` gives Unix time. `delay` gives the seconds to wait after so many failures of an
    event, None to drop it. `pause` waits, or returns when the event is set. `timeout` limits an
    attempt. `last_seconds`: how long `close` keeps trying.
    """

    __slots__ = (
        "_clock",
        "_closing",
        "_complained",
        "_delay",
        "_dropped",
        "_hooks",
        "_last_seconds",
        "_max_queued",
        "_metrics",
        "_pause",
        "_queues",
        "_session",
        "_stopped",
        "_timeout",
        "_wake",
        "queued",
    )

    def __init__(
        self,
        settings: Hooks,
        clock: Callable[[], float],
        metrics: Metrics,
        delay: Callable[[int], float | None] = _delay,
        *,
        pause: Callable[[asyncio.Event, float], Awaitable[None]] = _pause,
        timeout: float = TIMEOUT_SECONDS,
        max_queued: int = MAX_QUEUED,
        last_seconds: float = Deadlines.last_hooks,
    ) -> None:
        self._hooks = settings
        self._clock = clock
        self._metrics = metrics
        self._delay = delay
        self._pause = pause
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._max_queued = max_queued
        self._last_seconds = last_seconds
        self._queues = [_Queue() for _ in range(QUEUES)]
        self._session: aiohttp.ClientSession | None = None
        self._wake = asyncio.Event()
        """Set to end every pause early."""
        self._closing = False
        self._stopped = False
        """The receiver wants no more events."""
        self._complained: set[str] = set()
        """The log events since the last delivery."""
        self._dropped = 0
        self.queued = 0
        """Events that are neither delivered nor dropped."""

    @property
    def wanted(self) -> bool:
        """Whether events are to be posted at all."""
        return self._hooks.url is not None and not self._stopped

    def change(self, settings: Hooks) -> None:
        """Use other settings. Waiting events are tried again at once, or dropped if there is no
        receiver any more.
        """
        if settings == self._hooks:
            return
        self._hooks = settings
        self._stopped = False
        if settings.url is None:
            self._drop_queues()
        self._rouse()

    def post(self, event: Event) -> None:
        """Deliver an event, if the settings ask for its kind. Never waits and never fails."""
        if not self.wanted or event.kind not in self._hooks.events:
            return
        if self.queued >= self._max_queued or self._closing:
            self._drop(1)
            self._complain("hooks dropped", queued=self.queued)
            return
        queue = self._queues[hash(event.key) % QUEUES]
        queue.messages.append(_Message(event.kind.value, event.body()))
        self.queued += 1
        if queue.work is None:
            queue.work = asyncio.get_running_loop().create_task(self._work(queue))

    async def close(self, seconds: float | None = None) -> None:
        """Try every queued event once more, then drop the rest. `seconds` limits it, or else
        `last_seconds` does.
        """
        self._closing = True
        before = self._dropped
        self._rouse()
        works = [queue.work for queue in self._queues if queue.work is not None]
        if works:
            await asyncio.wait(works, timeout=self._last_seconds if seconds is None else seconds)
            for work in works:
                work.cancel()
            await asyncio.wait(works)
        self._drop(self.queued)
        self.queued = 0
        if self._dropped > before:
            emit(logging.WARNING, "hooks dropped", count=self._dropped - before)
        if self._session is not None:
            await self._session.close()

    async def _work(self, queue: _Queue) -> None:
        """Deliver everything in the queue, in order."""
        while queue.messages:
            message = queue.messages.popleft()
            try:
                delivered = await self._deliver(message)
            except Exception:
                LOGGER.exception("unexpected error")
                delivered = False
            if delivered:
                self._metrics.hook(HookResult.DELIVERED)
            else:
                self._drop(1)
            self.queued -= 1
        queue.work = None

    async def _deliver(self, message: _Message) -> bool:
        """Try until the message is delivered (True) or no attempts are left."""
        failures = 0
        while True:
            settings, wake = self._hooks, self._wake
            if settings.url is None or settings.secret is None or self._stopped:
                return False
            try:
                await self._attempt(message, settings.url, settings.secret)
            except _Gone:
                if settings is self._hooks:
                    self._stop()
                return False
            except _Failed as failed:
                failures += 1
                wait = self._delay(failures)
                told = {"kind": message.kind, "reason": failed.reason}
                self._complain("hook failed", **told)
                if self._closing:
                    return False
                if wait is None:
                    emit(logging.WARNING, "hook given up", attempts=failures, **told)
                    return False
                self._metrics.hook(HookResult.RETRIED)
                await self._pause(wake, max(wait, min(failed.retry_after, MAX_RETRY_AFTER)))
            else:
                if self._complained:
                    self._complained.clear()
                    emit(logging.INFO, "hooks delivered again", queued=self.queued - 1)
                return True

    async def _attempt(self, message: _Message, url: str, secret: Secret) -> None:
        """One request. Raises _Gone or _Failed."""
        timestamp = int(self._clock())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"signalpost/{signalpost.__version__}",
            "webhook-id": message.name,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(secret, message.name, timestamp, message.body),
        }
        # No redirect is followed: nobody configured the address that it points to.
        post = self._client().post(
            url, data=message.body, headers=headers, allow_redirects=False, timeout=self._timeout
        )
        try:
            async with post as response:
                status, after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise _Failed("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            number = getattr(error, "errno", None)
            name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
            # Not the error's text: it may hold the URL, which may hold a secret.
            raise _Failed(f"{type(error).__name__} {name}".rstrip()) from None
        if status == HTTPStatus.GONE:
            raise _Gone
        if not 200 <= status < 300:
            seconds = int(after) if re.fullmatch("[0-9]{1,6}", after) else 0
            raise _Failed(f"status {status}", seconds)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=QUEUES), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _stop(self) -> None:
        emit(logging.WARNING, "hooks stopped", reason="status 410", queued=self.queued)
        self._stopped = True
        self._drop_queues()
        self._rouse()

    def _drop_queues(self) -> None:
        dropped = sum(len(queue.messages) for queue in self._queues)
        for queue in self._queues:
            queue.messages.clear()
        self.queued -= dropped
        self._drop(dropped)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._metrics.hook(HookResult.DROPPED, count)

    def _rouse(self) -> None:
        """End every pause."""
        self._wake.set()
        self._wake = asyncio.Event()

    def _complain(self, event: str, **fields: Field) -> None:
        """Log once until an event is delivered again: a receiver that is down gets one line."""
        if event not in self._complained:
            self._complained.add(event)
            emit(logging.WARNING, event, **fields)
