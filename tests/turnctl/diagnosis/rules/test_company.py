"""A URL is judged alone: no list of live, dead and refusing URLs changes anything, in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from signalpost.iceservers import IceServer
from tests.turnctl.diagnosis.rules.stories import (
    CLOSED,
    ERROR,
    FOREIGN,
    HOST,
    NOW,
    REFUSED,
    SILENT,
    TCP,
    TLS,
    TLS_FAILED,
    UDP,
    UNKNOWN,
    UNROUTABLE,
    story,
)
from tests.turnctl.diagnosis.rules.stories import step as made
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.judge import judge, url_verdict
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Inbound,
    Observation,
    Permission,
    Reference,
    Refresh,
    Resolution,
    TlsHandshake,
    WrongCredential,
)
from turnctl.diagnosis.plan import make_plan
from turnctl.diagnosis.rules import LIST_WIDE
from turnctl.wire.outcome import Outcome

CASES = 100_000 if os.environ.get("SOAK") else 2_000

HOSTS = {HOST: "203.0.113.7", "other.example.org": "203.0.113.8"}
PORTS = (443, 3478, 20478, 20999)
BASES = {"udp": UDP, "tcp": TCP, "tls": TLS}
USERS = ("lab", "other")

Range = Literal["open", "closed", "half"]
Kind = Literal[
    "live",
    "lossy",
    "stalled",
    "silent",
    "silent, the other transport answers",
    "refused",
    "refused, the other transport answers",
    "turn alone",
    "not turn",
    "no route",
    "no address",
    "resolver silent",
    "another secret",
    "quota",
    "draining",
    "open relay",
    "own relay forbidden",
    "peers forbidden",
    "relay private",
    "no echo",
    "no refresh",
    "out of time",
    "certificate",
]
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: its URL, and what its probe sees, beside any other entries."""

    host: str
    protocol: Literal["udp", "tcp", "tls"]
    port: int
    user: str
    kind: Kind
    ports: Range

    @property
    def url(self) -> str:
        if self.protocol == "tls":
            return f"turns:{self.host}:{self.port}"
        return f"turn:{self.host}:{self.port}?transport={self.protocol}"

    @property
    def server(self) -> IceServer:
        return IceServer((self.url,), f"{NOW + 600:.0f}:{self.user}", "password")

    def step(self, kind: type[Observation], **facts: Any) -> Any:
        return made(kind, BASES[self.protocol], **facts)

    def seen(self, entry: int) -> list[Observation]:
        """What the probe of this entry observes, with the names and addresses of its own."""
        address = HOSTS[self.host]
        seen: list[Observation] = []
        for one in self._story():
            facts: dict[str, Any] = {"url": self.url, "entry": entry}
            if isinstance(one, Connection | Binding):
                facts["remote"] = (address, self.port)
            if isinstance(one, Control):
                facts["remote"] = (address, self.port)
            if isinstance(one, Resolution):
                facts |= {"host": self.host, "addresses": one.addresses and (address,)}
            private = isinstance(one, Allocation) and self.kind == "relay private"
            if isinstance(one, Allocation | Inbound) and one.relayed and not private:
                facts["relayed"] = (address, one.relayed[1])
            seen.append(replace(one, **facts))
        return seen

    def _story(self) -> list[Observation]:
        base = BASES[self.protocol]
        first = Binding if self.protocol == "udp" else Connection
        other = "tcp" if self.protocol == "udp" else "udp"

        def unreached(outcome: Outcome, around: Outcome) -> list[Observation]:
            answer = Control(
                url=base, family=4, outcome=around, transport=cast(Any, other), remote=("", 0)
            )
            return [*story(self.step(first, outcome=outcome), url=base), answer]

        match self.kind:
            case "silent":
                return unreached(SILENT, SILENT)
            case "silent, the other transport answers":
                return unreached(SILENT, Outcome.OK)
            case "refused":
                return unreached(REFUSED, REFUSED)
            case "refused, the other transport answers":
                return unreached(REFUSED, Outcome.OK)
            case "no route":
                return story(self.step(first, outcome=UNROUTABLE), url=base)
            case "no address":
                return [self.step(Resolution, addresses=())]
            case "resolver silent":
                return [self.step(Resolution, outcome=SILENT, addresses=(), detail="timed out")]
            case "certificate" if self.protocol == "tls":
                broken = self.step(TlsHandshake, outcome=TLS_FAILED, problem="expired")
                return story(broken, url=base)
            case "turn alone":
                whole = story(*self._knocks(), url=base)
                silent = self.step(Binding, outcome=SILENT)
                return [silent if isinstance(one, Binding) else one for one in whole]
            case _:
                return story(*self._changed(), *self._knocks(), url=base)

    def _changed(self) -> list[Any]:
        step = self.step
        match self.kind:
            case "stalled":
                return [step(Challenge, outcome=Outcome.LOSSY, code=None)]
            case "not turn":
                return [step(Challenge, outcome=FOREIGN, code=None, detail="HTTP")]
            case "open relay":
                return [step(WrongCredential, outcome=Outcome.OK)]
            case "another secret":
                return [step(Allocation, outcome=ERROR, code=401, username=f"{NOW + 600:.0f}:x")]
            case "quota":
                return [step(Allocation, outcome=ERROR, code=486)]
            case "draining":
                return [step(Allocation, outcome=ERROR, code=403)]
            case "own relay forbidden":
                return [
                    step(Permission, outcome=ERROR, code=403, purpose="own-relay", peer="192.0.2.1")
                ]
            case "peers forbidden":
                return [step(Permission, outcome=ERROR, code=403)]
            case "relay private":
                return [step(Allocation, relayed=("10.0.0.5", 50000))]
            case "lossy":
                return [step(Echo, sent=200, rtts_ms=(1.0,) * 130)]
            case "no echo":
                return [step(Echo, outcome=CLOSED, rtts_ms=())]
            case "no refresh":
                return [step(Refresh, outcome=SILENT)]
            case "out of time":
                return [step(Echo, outcome=UNKNOWN, rtts_ms=(), detail="5 s were over")]
            case _:
                return []

    def _knocks(self) -> list[Inbound]:
        """Packets to the relay, as many as a URL alone makes: one of them misses no closed half."""
        arrived: Any = self.step(Inbound)
        lost = self.step(Inbound, outcome=SILENT, sent=16, received=0, replied=False)
        return {"open": [arrived], "closed": [lost], "half": [arrived, arrived, lost]}[self.ports]


entries = st.builds(
    Entry,
    st.sampled_from(list(HOSTS)),
    st.sampled_from(["udp", "tcp", "tls"]),
    st.sampled_from(PORTS),
    st.sampled_from(USERS),
    st.sampled_from(KINDS),
    st.just("open"),
)


@st.composite
def lists(draw: st.DrawFn) -> list[Entry]:
    """A list in some order. A host has one relay, with one range of ports, for all its URLs."""
    ranges: dict[str, Range] = {
        host: draw(st.sampled_from(("open", "closed", "half"))) for host in HOSTS
    }
    drawn = draw(
        st.lists(entries, min_size=2, max_size=7, unique_by=lambda one: (one.url, one.user))
    )
    return [replace(one, ports=ranges[one.host]) for one in drawn]


Judged = tuple[str, frozenset[str]]


def judged(entries: Sequence[Entry], reference: Outcome | None) -> dict[Entry, Judged]:
    """Verdict and codes of each entry's own findings."""
    plan = make_plan([one.server for one in entries], families=(4,), complete=True)
    by_url = {(one.url, one.server.username): one for one in entries}
    seen: list[Observation] = []
    order = [by_url[probe.url, probe.username] for probe in plan.probes]
    for probe, one in zip(plan.probes, order, strict=True):
        seen += one.seen(probe.entry)
    if reference is not None:
        seen.append(Reference(url="stun:stun.example.net", family=4, outcome=reference))
    findings = judge(plan, seen, now=NOW)
    verdicts = [url_verdict(case, findings) for case in Record.of(plan, seen).cases]
    return {
        one: (
            verdict,
            frozenset(
                found.code
                for found in findings
                if found.url == one.url
                and found.entry in (None, probe.entry)
                and found.code not in LIST_WIDE
            ),
        )
        for one, probe, verdict in zip(order, plan.probes, verdicts, strict=True)
    }


@cache
def alone(one: Entry, reference: Outcome | None) -> Judged:
    return judged([one], reference)[one]


@given(lists(), st.sampled_from([None, Outcome.OK]))
@settings(max_examples=CASES, deadline=None)
def test_order_and_company_change_nothing(entries: list[Entry], reference: Outcome | None) -> None:
    """Each entry has the verdict and the codes that it has alone."""
    together = judged(entries, reference)
    for one in entries:
        assert alone(one, reference) == together[one], one


@given(lists(), st.randoms(use_true_random=False))
@settings(max_examples=CASES // 10, deadline=None)
def test_a_reference_that_is_silent(entries: list[Entry], chance: Any) -> None:
    """The order never counts; in company, only an answer over UDP refutes such a reference."""
    shuffled = list(entries)
    chance.shuffle(shuffled)
    together = judged(entries, SILENT)
    assert together == judged(shuffled, SILENT)
    refuted = any(one.kind not in {"no address", "resolver silent", "no route"} for one in entries)
    for one in entries:
        verdict, codes = alone(one, SILENT)
        changed = (verdict, codes) != together[one]
        assert not changed or (refuted and "client-network-blocks-udp" in codes), one
        assert verdict == together[one][0]
