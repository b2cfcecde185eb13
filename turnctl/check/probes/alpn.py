"""ALPN: does the server accept a client that names TURN in its hello (RFC 7443)?

Browsers name nothing there, and neither does the check's own handshake. Apps may. A TLS proxy that
serves a website too often refuses every name that it doesn't know.
"""

from __future__ import annotations

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import Alpn
from turnctl.wire import tls
from turnctl.wire.errors import WireError
from turnctl.wire.links import connect_stream, open_stream
from turnctl.wire.session import Session

__all__ = ["OFFERED", "offer"]

OFFERED = "stun.turn"
"""RFC 7443 section 3.1."""


async def offer(attempt: Attempt) -> None:
    """One more handshake, with the name in it. It doesn't verify the certificate again."""
    begun = attempt.clock()
    context = tls.context(verify=False)
    context.set_alpn_protocols([OFFERED])
    session = Session()
    try:
        sock = await connect_stream(attempt.server, patience=attempt.patience())
        link = await open_stream(
            sock,
            session,
            context=context,
            server_name=attempt.probe.uri.host.rstrip("."),
            patience=attempt.patience(),
        )
        session.attach(link)
        chosen = link.tls.selected_alpn_protocol() if link.tls else None
    except WireError as error:
        attempt.emit(Alpn, **attempt.ending(error, begun))
    else:
        attempt.emit(Alpn, **attempt.ending(None, begun), chosen=chosen or "")
    finally:
        await session.close()
