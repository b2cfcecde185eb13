"""Checks the headers of a WebSocket's opening handshake (RFC 6455, section 4.2.1) for a proxy's
losses.

`Upgrade` and `Connection` are hop-by-hop headers (RFC 9110, section 7.6.1). A proxy drops both
unless it's configured to pass them on, and the handshake arrives as an ordinary GET. The remaining
Sec-WebSocket headers show that it was a handshake.
"""

from __future__ import annotations

from collections.abc import Mapping

from signalpost.errors import UpgradeHeaderMissing

__all__ = ["require_upgrade"]

_LEFT = ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol")


def require_upgrade(headers: Mapping[str, str]) -> None:
    """Raises UpgradeHeaderMissing for a handshake that lost a header. A request that isn't a
    handshake passes: the check of the subprotocol refuses it.
    """
    if not any(name in headers for name in _LEFT):
        return
    found = [_shown(name, headers.get(name)) for name in ("Upgrade", "Connection")]
    upgrade = headers.get("Upgrade", "").strip().lower() == "websocket"
    if not (upgrade and "upgrade" in _tokens(headers.get("Connection", ""))):
        raise UpgradeHeaderMissing(
            "a WebSocket needs the request headers Upgrade: websocket and Connection: Upgrade, but "
            f"{' and '.join(found)}. A reverse proxy in front of this service dropped them: "
            'configure it to pass both on (docs/deploy.md, "Behind a proxy of your own")'
        )
    missing = [name for name in _LEFT[:2] if name not in headers]
    if missing:
        raise UpgradeHeaderMissing(
            f"the WebSocket handshake lacks {' and '.join(missing)}: something between the client "
            "and this service dropped it"
        )


def _tokens(value: str) -> list[str]:
    return [token.strip().lower() for token in value.split(",")]


def _shown(name: str, value: str | None) -> str:
    # Quoted briefly: it only goes back to its sender.
    return f"{name} is missing" if value is None else f"{name} is {value[:40]!r}"
