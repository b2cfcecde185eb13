"""The audit: does the relay do what it must not? It asks for permissions and sends nothing."""

from __future__ import annotations

from turnctl.check.probes.attempt import Attempt
from turnctl.diagnosis.observations import Amplification, PeerPolicy
from turnctl.wire import stun
from turnctl.wire.errors import ErrorResponse, WireError
from turnctl.wire.session import Allocated, Session

__all__ = ["FORBIDDEN_PEERS", "ask_forbidden_peers", "measure_amplification"]

FORBIDDEN_PEERS = {
    4: (
        "0.0.0.0",  # noqa: S104  a peer to be refused, not an address to bind
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
    ),
    6: (
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1",
        "fd00::1",
        "fe80::1",
        "ff02::1",
    ),
}
"""One address of each kind that leads into a network: private, loopback, link-local with the
clouds' metadata services, multicast, reserved, and the IPv6 forms that embed IPv4."""

PEER_PORT = 9


async def ask_forbidden_peers(attempt: Attempt, session: Session, granted: Allocated) -> None:
    """Ask for a permission for each; any that isn't refused is a way into the network.

    A relay has permissions only for its own family (RFC 8656 section 9.1).
    """
    family = 6 if ":" in granted.relayed[0] else 4
    allowed: list[str] = []
    asked = 0
    own = {granted.relayed[0], attempt.address}
    try:
        for peer in FORBIDDEN_PEERS[family]:
            if peer in own:
                continue
            try:
                await session.permit((peer, PEER_PORT), patience=attempt.patience())
            except ErrorResponse:
                asked += 1
                continue
            asked += 1
            allowed.append(peer)
    except WireError:
        pass  # the answers until then count
    attempt.emit(PeerPolicy, asked=asked, allowed=tuple(allowed))


async def measure_amplification(attempt: Attempt, session: Session) -> None:
    """Bytes of a Binding and of its answer, which an attacker could direct at a forged source."""
    try:
        answer = await session.binding(patience=attempt.patience())
    except WireError:
        return
    attempt.emit(Amplification, request=stun.HEADER, response=len(answer.raw))
