"""Opens a session with a server: UDP socket, TCP connect, TLS handshake with its certificate."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import (
    Binding,
    Connection,
    PlainBinding,
    Release,
    ReplyHops,
    TlsHandshake,
)
from turnctl.wire import tls
from turnctl.wire.errors import TlsFailed, WireError
from turnctl.wire.links import connect_stream, open_datagram, open_stream
from turnctl.wire.session import Login, Session

__all__ = ["opened"]

PLAIN_PATIENCE = 1.0
"""Seconds for each step of a second question: the host has just answered."""


@asynccontextmanager
async def opened(
    attempt: Attempt, login: Login | None, *, report: bool = False
) -> AsyncIterator[Session]:
    """A session with the server. At the end it is released and closed, whatever happens.

    With `report` the TCP connect, the TLS handshake, the release and the hop limits over UDP become
    observations.
    Raises WireError if the link can't be opened.
    """
    session = Session(login, clock=attempt.clock)
    attempt.allowance.enter(session)
    try:
        await _dial(attempt, session, report=report)
        attempt.sessions.append(session)
        try:
            yield session
        finally:
            attempt.sessions.remove(session)
            attempt.resent_before += session.resent
    finally:
        begun, held = attempt.clock(), session.allocated
        try:
            failed = await session.close()
            if held and report:
                attempt.emit(Release, **attempt.ending(failed, begun))
            if report and session.hops is not None:
                attempt.emit(ReplyHops, remote=attempt.server, **asdict(session.hops))
        finally:
            attempt.allowance.leave(session, released=held)


async def _dial(attempt: Attempt, session: Session, *, report: bool) -> None:
    """Give the session its link. With `report` each step becomes an observation.

    Raises WireError.
    """
    if attempt.probe.protocol == "udp":
        begun = attempt.clock()
        try:
            await session.dial(lambda: open_datagram(attempt.server, session))
        except WireError as error:
            if report:
                facts = attempt.ending(error, begun)
                attempt.emit(Binding, protocol="udp", remote=attempt.server, **facts)
            raise
        attempt.local = session.link.local[0]
        return
    await _connect(attempt, session, report, verify=not attempt.insecure)


async def _connect(attempt: Attempt, session: Session, report: bool, *, verify: bool) -> None:
    begun = attempt.clock()
    try:
        sock = await connect_stream(attempt.server, patience=attempt.patience())
    except WireError as error:
        if report:
            attempt.emit(Connection, remote=attempt.server, **attempt.ending(error, begun))
        raise
    attempt.connected, attempt.local = True, sock.getsockname()[0]
    if report:
        attempt.emit(Connection, remote=attempt.server, **attempt.ending(None, begun))
    secure = attempt.probe.protocol == "tls"
    begun = attempt.clock()
    try:
        patience = attempt.patience()
        link = await open_stream(
            sock,
            session,
            context=attempt.tls(verify) if secure else None,
            server_name=attempt.probe.uri.host.rstrip("."),
            patience=patience,
        )
    except TlsFailed as error:
        if report:
            certificate, length = await _unverified_certificate(attempt, error)
            # Public CAs issue from an intermediate, without which the chain is incomplete.
            lonely = length == 1 and certificate is not None and certificate.names_its_issuer
            attempt.emit(
                TlsHandshake,
                problem="chain-incomplete" if error.issuer_missing and lonely else error.problem,
                endless=error.endless,
                **attempt.ending(error, begun),
                **_described(certificate, attempt.now()),
            )
            if error.problem == "refused":
                await _ask_plainly(attempt)
        raise
    except WireError as error:
        sock.close()
        if report:
            attempt.emit(TlsHandshake, **attempt.ending(error, begun))
        raise
    session.attach(link)
    if report and link.tls is not None:
        attempt.emit(
            TlsHandshake,
            **attempt.ending(None, begun),
            version=link.tls.version() or "",
            public_names=() if attempt.own_ca or not verify else tls.chain_names(link.tls),
            **_described(_certificate(link.tls), attempt.now()),
        )


async def _ask_plainly(attempt: Attempt) -> None:
    """Ask STUN without TLS at the same port. coturn answers both on each of its TCP ports, so an
    answer shows that the port is coturn's.
    """
    begun = attempt.clock()
    session = Session()
    failure: WireError | None = None
    try:
        sock = await connect_stream(attempt.server, patience=attempt.patience(PLAIN_PATIENCE))
        session.attach(await open_stream(sock, session))
        await session.binding(patience=attempt.patience(PLAIN_PATIENCE))
    except WireError as error:
        failure = error
    finally:
        await session.close()
    attempt.emit(PlainBinding, **attempt.ending(failure, begun))


async def _unverified_certificate(
    attempt: Attempt, error: TlsFailed
) -> tuple[tls.Certificate | None, int]:
    """The certificate that verification rejected, and the number of certificates in its chain.

    It takes a second handshake, only for the evidence.
    """
    if error.problem in {"refused", "old-version"}:
        return None, 0
    session = Session()
    try:
        await _connect(attempt, session, False, verify=False)
        ssl_object = session.link.tls
        if ssl_object is None:
            return None, 0
        return _certificate(ssl_object), tls.chain_length(ssl_object)
    except WireError:
        return None, 0
    finally:
        await session.close()


def _certificate(ssl_object: ssl.SSLObject) -> tls.Certificate | None:
    der = ssl_object.getpeercert(binary_form=True)
    return tls.read_certificate(der) if der else None


def _described(certificate: tls.Certificate | None, now: float) -> dict[str, Any]:
    if certificate is None:
        return {}
    return {
        "names": certificate.names,
        "issuer": certificate.issuer,
        "not_after": certificate.not_after.isoformat(),
        "days_left": round(certificate.days_left(now), 2),
        "unfit": certificate.unfit,
    }
