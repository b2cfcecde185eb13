"""Looks up the addresses of a name, one family at a time, within a deadline."""

from __future__ import annotations

import ipaddress
import socket

from turnctl.wire import background
from turnctl.wire.errors import WireError
from turnctl.wire.outcome import Family, Outcome

__all__ = ["NO_ADDRESS", "ResolutionFailed", "resolve"]

NO_ADDRESS = {socket.EAI_NONAME, socket.EAI_NODATA, getattr(socket, "EAI_ADDRFAMILY", -9)}
"""getaddrinfo's errors for a name without an address; with others it could not find out."""


class ResolutionFailed(WireError):
    """The resolver gave no answer; the text is its error."""

    outcome = Outcome.SILENT


async def resolve(host: str, family: Family, *, patience: float) -> tuple[str, ...]:
    """The host's addresses of that family, empty if it has none.

    Raises ResolutionFailed if the resolver failed or was silent.
    """
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return (str(literal),) if literal.version == family else ()
    wanted = socket.AF_INET if family == 4 else socket.AF_INET6
    try:
        found = await background.call(
            lambda: socket.getaddrinfo(host, None, wanted, socket.SOCK_DGRAM), patience=patience
        )
    except TimeoutError:
        raise ResolutionFailed(f"the resolver did not answer within {patience:.1f} s") from None
    except socket.gaierror as error:
        if error.errno in NO_ADDRESS:
            return ()
        raise ResolutionFailed(error.strerror or str(error)) from error
    except (OSError, UnicodeError) as error:
        raise ResolutionFailed(str(error)) from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
