"""The courier: brings web hooks to the back end, beside everything else.

Owns the queue, the attempts and what is said about them. Who posts an event never waits for it.
Events of one room or one call go one at a time and in order: a lane keeps them so, and what fails
holds up its own lane alone. What waits is bounded and lives in memory.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import random
import re
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

import signalpost
from signalpost.config.settings import Hooks
from signalpost.credentials import Secret
from signalpost.logs import LOGGER, Field, emit
from signalpost.metrics import HookResult, Metrics
from signalpost.webhooks import events as hooks
from signalpost.webhooks.events import Event, sign

__all__ = ["WebhookSender"]

LANES = 8
MAX_QUEUED = 10_000
"""Events, of some 300 bytes each."""
TIMEOUT = aiohttp.ClientTimeout(total=10.0)
LAST_SECONDS = 2.0
"""What is queued when the service stops gets this much after the drain, in which it was tried."""
MAX_RETRY_AFTER = 3_600
ID_BYTES = 16


@dataclass(slots=True)
class _Message:
    kind: str
    body: bytes
    name: str = field(default_factory=lambda: f"msg_{secrets.token_hex(ID_BYTES)}")
    """The same at every attempt: the receiver knows a repeat by it."""


@dataclass(slots=True)
class _Lane:
    queue: deque[_Message] = field(default_factory=deque)
    work: asyncio.Task[None] | None = None
    """There is one while there is something to deliver."""


class _Gone(Exception):
    """The receiver wants no more."""


class _Failed(Exception):
    """An attempt failed; the receiver may have said after how many seconds to come again."""

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(reason)


def _delay(failures: int) -> float | None:
    return hooks.delay(failures, random.uniform(-1, 1))  # noqa: S311  jitter


class WebhookSender:
    """`clock` gives Unix time, `delay` the seconds to wait after so many failures of an event, None
    to give it up.
    """

    __slots__ = (
        "_clock",
        "_closing",
        "_complained",
        "_delay",
        "_dropped",
        "_hooks",
        "_lanes",
        "_metrics",
        "_session",
        "_stopped",
        "_wake",
        "queued",
    )

    def __init__(
        self,
        settings: Hooks,
        clock: Callable[[], float],
        metrics: Metrics,
        delay: Callable[[int], float | None] = _delay,
    ) -> None:
        self._hooks = settings
        self._clock = clock
        self._metrics = metrics
        self._delay = delay
        self._lanes = [_Lane() for _ in range(LANES)]
        self._session: aiohttp.ClientSession | None = None
        self._wake = asyncio.Event()
        """Set when a pause is to end early."""
        self._closing = False
        self._stopped = False
        """The receiver said that it wants no more."""
        self._complained: set[str] = set()
        """What the log has been told since the last delivery."""
        self._dropped = 0
        self.queued = 0
        """Events that are neither delivered nor dropped."""

    @property
    def wanted(self) -> bool:
        """Whether anything that happens is to be posted."""
        return self._hooks.url is not None and not self._stopped

    def change(self, settings: Hooks) -> None:
        """Go on with other settings: what waits is tried again at once, or dropped when there is
        nobody any more to deliver to.
        """
        if settings == self._hooks:
            return
        self._hooks = settings
        self._stopped = False
        if settings.url is None:
            self._drop_queues()
        self._rouse()

    def post(self, event: Event) -> None:
        """Deliver an event, if it is one of those that are asked for. Never waits, never fails."""
        if not self.wanted or event.kind not in self._hooks.events:
            return
        if self.queued >= MAX_QUEUED or self._closing:
            self._drop(1)
            self._complain("hooks dropped", queued=self.queued)
            return
        lane = self._lanes[hash(event.key) % LANES]
        lane.queue.append(_Message(event.kind.value, event.body()))
        self.queued += 1
        if lane.work is None:
            lane.work = asyncio.get_running_loop().create_task(self._work(lane))

    async def close(self, seconds: float | None = None) -> None:
        """Try what is queued once more, for so long or LAST_SECONDS, and drop the rest."""
        self._closing = True
        before = self._dropped
        self._rouse()
        works = [lane.work for lane in self._lanes if lane.work is not None]
        if works:
            await asyncio.wait(works, timeout=LAST_SECONDS if seconds is None else seconds)
            for work in works:
                work.cancel()
            await asyncio.wait(works)
        self._drop(self.queued)
        self.queued = 0
        if self._dropped > before:
            emit(logging.WARNING, "hooks dropped", count=self._dropped - before)
        if self._session is not None:
            await self._session.close()

    async def _work(self, lane: _Lane) -> None:
        """Everything in the lane, in order."""
        while lane.queue:
            message = lane.queue.popleft()
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
        lane.work = None

    async def _deliver(self, message: _Message) -> bool:
        """Attempt after attempt, until it is there (True) or there is nothing more to try."""
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
                await _pause(wake, max(wait, min(failed.retry_after, MAX_RETRY_AFTER)))
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
        # A redirect is not followed: where the receiver points to, nobody configured.
        post = self._client().post(
            url, data=message.body, headers=headers, allow_redirects=False, timeout=TIMEOUT
        )
        try:
            async with post as response:
                status, after = response.status, response.headers.get("Retry-After", "")
        except TimeoutError:
            raise _Failed("no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            number = getattr(error, "errno", None)
            name = errno.errorcode.get(number, "") if isinstance(number, int) else ""
            # Not its text: that may hold the URL, and with it what the operator keeps to himself.
            raise _Failed(f"{type(error).__name__} {name}".rstrip()) from None
        if status == HTTPStatus.GONE:
            raise _Gone
        if not 200 <= status < 300:
            seconds = int(after) if re.fullmatch("[0-9]{1,6}", after) else 0
            raise _Failed(f"status {status}", seconds)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=LANES), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _stop(self) -> None:
        emit(logging.WARNING, "hooks stopped", reason="status 410", queued=self.queued)
        self._stopped = True
        self._drop_queues()
        self._rouse()

    def _drop_queues(self) -> None:
        dropped = sum(len(lane.queue) for lane in self._lanes)
        for lane in self._lanes:
            lane.queue.clear()
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
        """Once, until something is delivered again: a receiver that is down is one line."""
        if event not in self._complained:
            self._complained.add(event)
            emit(logging.WARNING, event, **fields)


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
