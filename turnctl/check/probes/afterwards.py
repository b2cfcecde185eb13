"""After an authenticated Allocate over UDP got no answer: does the server still answer others?

Three causes are possible. With random loss, other packets get through. A server that hangs is
silent over TCP too. A server whose replies leave with too low a TTL from then on (coturn 4.17.0 and
4.17.1) is silent only over UDP.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import Afterwards
from turnctl.wire.datagram import open_datagram
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.links import connect_stream, open_stream
from turnctl.wire.outcome import Outcome
from turnctl.wire.session import Session

__all__ = ["ask_again"]

SENDS = 8
PAUSE = 0.1
"""Seconds between them. A link that loses one packet in five each way loses all eight round trips
once in 3,000 times."""

PATIENCE = 1.0

TCP_PATIENCE = 2.0
"""Seconds for TCP connect and Allocate: TCP resends what is lost."""


async def ask_again(attempt: Attempt) -> None:
    """Binding from a new socket over UDP, then the Allocate over TCP at the same port."""
    attempt = replace(attempt, deadline=attempt.clock() + attempt.timeout)
    udp = await _binding(attempt)
    tcp = await _over_tcp(attempt)
    attempt.emit(Afterwards, udp=udp, sent=SENDS, tcp=tcp)


async def _binding(attempt: Attempt) -> Outcome:
    """OK if one of several requests is answered, even with an error."""
    session = Session(clock=attempt.clock)

    async def ask(number: int) -> None:
        await asyncio.sleep(number * PAUSE)
        with contextlib.suppress(ErrorResponse):
            await session.binding(patience=PATIENCE)

    try:
        session.attach(await open_datagram(attempt.server, session))
        ended = await asyncio.gather(*map(ask, range(SENDS)), return_exceptions=True)
    except WireError as error:
        return error.outcome
    finally:
        await session.close()
    failed = [one.outcome for one in ended if isinstance(one, WireError)]
    return failed[0] if len(failed) == SENDS else Outcome.OK


async def _over_tcp(attempt: Attempt) -> Outcome:
    session = Session(attempt.login(), clock=attempt.clock)
    try:
        sock = await connect_stream(attempt.server, patience=attempt.patience(TCP_PATIENCE))
        session.attach(await open_stream(sock, session, patience=attempt.patience(TCP_PATIENCE)))
        await session.allocate(patience=attempt.patience(TCP_PATIENCE))
    except WireError as error:
        return error.outcome
    finally:
        await session.close()
    return Outcome.OK
