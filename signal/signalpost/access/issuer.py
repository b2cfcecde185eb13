"""The issuer: a Principal → iceServers with a fresh TURN credential, within the mint limits.

It decides who gets a credential, how often, and for how long. Both clocks are arguments. The
credential's user is always the principal's opaque id, never a name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from signalpost.access.auth import Kind, Principal
from signalpost.access.bans import Bans
from signalpost.config.settings import Limits, Turn
from signalpost.credentials import Audience, Credential, mint
from signalpost.errors import NoRelays, RateLimited
from signalpost.iceservers import IceServer, choose
from signalpost.limits import Buckets
from signalpost.tokens import Permission

__all__ = ["Issued", "Issuer"]


class Issued(NamedTuple):
    servers: tuple[IceServer, ...]
    credential: Credential
    audience: Audience


class Issuer:
    """`clock` gives Unix time, `monotonic` seconds for the limits."""

    __slots__ = ("_bans", "_by_address", "_by_user", "_chosen", "_clock", "_monotonic", "_turn")

    def __init__(
        self,
        turn: Turn,
        limits: Limits,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        bans: Bans,
    ) -> None:
        self._bans = bans
        self._clock = clock
        self._monotonic = monotonic
        self._by_user = Buckets(limits.mints_per_user)
        self._by_address = Buckets(limits.mints_per_address)
        self._adopt(turn)

    def change(self, turn: Turn, limits: Limits) -> None:
        """Use other secrets, relays and limits from now on. The mint counts stay."""
        self._adopt(turn)
        now = self._monotonic()
        self._by_user.change(limits.mints_per_user, now)
        self._by_address.change(limits.mints_per_address, now)

    def _adopt(self, turn: Turn) -> None:
        # The URLs depend only on the region, so they are chosen once: the STUN entry, which has no
        # credential, and the URLs of the TURN entry.
        chosen: dict[str | None, tuple[tuple[IceServer, ...], tuple[str, ...]]] = {}
        for region in {relay.region for relay in turn.relays} | {None}:
            stun, urls = choose(turn.relays, region)
            chosen[region] = (IceServer(stun),) if stun else (), urls
        self._turn, self._chosen = turn, chosen

    @property
    def has_relays(self) -> bool:
        return bool(self._turn.relays)

    def usable(self) -> bool:
        """Whether a credential can be minted at all, for /readyz."""
        try:
            mint(self._turn.secrets, "readyz", now=self._clock(), ttl=1)
        except ValueError:
            return False
        return True

    def issue(
        self,
        principal: Principal,
        network: str,
        *,
        native: bool = False,
        ttl: int | None = None,
        region: str | None = None,
    ) -> Issued:
        """iceServers for `principal`, which calls from `network`. The limits go by that.

        A native client gets short-lived credentials, because the service sends it new ones. A back
        end mints for many users from one address, so only its users are limited.
        Raises PermissionDenied, Banned, NoRelays and RateLimited.
        """
        principal.require(Permission.ICE)
        self._bans.require_none(principal.user_id)
        if not self._turn.relays:
            raise NoRelays("no TURN server is configured: see turn.relays")
        now = self._monotonic()
        by_address = principal.kind is not Kind.SERVER
        user_wait = self._by_user.wait(principal.user_id, now)
        address_wait = self._by_address.wait(network, now) if by_address else 0.0
        if user_wait or address_wait:
            whom = "user" if user_wait >= address_wait else "address"
            raise RateLimited(f"too many credentials for this {whom}", max(user_wait, address_wait))
        self._by_user.take(principal.user_id, now)
        if by_address:
            self._by_address.take(network, now)
        audience = Audience.NATIVE if native else principal.audience
        credential = mint(
            self._turn.secrets,
            principal.user_id,
            now=self._clock(),
            ttl=self._turn.ttl.ttl(audience, ttl),
        )
        stun, urls = self._chosen.get(region) or self._chosen[None]
        turn = IceServer(urls, credential.username, credential.password)
        return Issued((*stun, turn), credential, audience)
