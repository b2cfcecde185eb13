"""Limits: rates, token buckets and counted places for many keys, in bounded memory.

`now` is monotonic seconds. A key that isn't remembered has a full bucket, so forgetting a key never
punishes anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bucket", "Buckets", "Quota", "Rate"]

MAX_KEYS = 50_000
"""Keys that are remembered of each kind: about 8 MB at worst."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` events in `seconds`, refilled evenly; `count` is also the burst."""

    count: int
    seconds: int

    def __str__(self) -> str:
        unit = {1: "s", 60: "min", 3600: "h"}[self.seconds]
        return f"{self.count}/{unit}"


class Bucket:
    """One token bucket, kept as one number: the time at which it is full again (GCRA).

    `rate` refills it. `burst` is its size, by default the rate's count.
    """

    __slots__ = ("_full_at", "_interval", "_slack")

    def __init__(self, rate: Rate, burst: int | None = None) -> None:
        self._interval = rate.seconds / rate.count
        self._slack = self._interval * ((burst or rate.count) - 1)
        self._full_at = 0.0

    def take(self, now: float) -> float:
        """Take a token and return 0.0. Without a token, return the seconds until there is one."""
        full_at = self._full_at if self._full_at > now else now
        wait = full_at - now - self._slack
        if wait > 1e-9:
            return wait
        self._full_at = full_at + self._interval
        return 0.0


class Buckets:
    """A token bucket for each key."""

    __slots__ = ("_full_at", "_interval", "_max_keys", "_slack")

    def __init__(self, rate: Rate, *, max_keys: int = MAX_KEYS) -> None:
        self._interval = rate.seconds / rate.count
        self._slack = self._interval * (rate.count - 1)
        self._max_keys = max_keys
        self._full_at: dict[str, float] = {}

    def change(self, rate: Rate, now: float) -> None:
        """Use another rate from now on. Missing tokens stay missing, up to all of them."""
        interval = rate.seconds / rate.count
        if interval != self._interval:
            factor = interval / self._interval
            self._full_at = {
                key: now + min((full_at - now) * factor, rate.seconds)
                for key, full_at in self._full_at.items()
                if full_at > now
            }
        self._interval = interval
        self._slack = interval * (rate.count - 1)

    def wait(self, key: str, now: float) -> float:
        """Seconds until `key` has a token, 0.0 if it has one now. Takes none."""
        wait = self._full_at.get(key, now) - now - self._slack
        return wait if wait > 1e-9 else 0.0

    def take(self, key: str, now: float) -> None:
        """Take a token that `wait` has found."""
        full_at = self._full_at.get(key, now)
        if key not in self._full_at and len(self._full_at) >= self._max_keys:
            self._forget(now)
        self._full_at[key] = max(full_at, now) + self._interval

    def __len__(self) -> int:
        return len(self._full_at)

    def _forget(self, now: float) -> None:
        """Drop the full buckets. If none is full, drop the half that is closest to full."""
        kept = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        if len(kept) >= self._max_keys:
            emptiest = sorted(kept, key=kept.__getitem__, reverse=True)[: self._max_keys // 2]
            kept = {key: kept[key] for key in emptiest}
        self._full_at = kept


class Quota:
    """A quota of places: `total` in all, `each` for one key."""

    __slots__ = ("_each", "_taken", "_total", "total")

    def __init__(self, total: int, each: int) -> None:
        self._taken: dict[str, int] = {}
        self.total = 0
        self.change(total, each)

    def change(self, total: int, each: int) -> None:
        """Use other numbers from now on. Taken places stay."""
        self._total = total
        self._each = each

    def take(self, key: str) -> bool:
        taken = self._taken.get(key, 0)
        if self.total >= self._total or taken >= self._each:
            return False
        self._taken[key] = taken + 1
        self.total += 1
        return True

    def give_back(self, key: str) -> None:
        self.total -= 1
        left = self._taken[key] - 1
        if left:
            self._taken[key] = left
        else:
            del self._taken[key]
