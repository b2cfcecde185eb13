"""Stories: hand-made observations of one URL, for the rules to judge.

A story is healthy up to the given step and ends there, since nothing is observed after a broken
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signalpost.iceservers import IceServer
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.judge import judge, overall, url_verdict
from turnctl.diagnosis.observations import (
    Allocation,
    Binding,
    Challenge,
    Connection,
    Control,
    Echo,
    Exchange,
    Inbound,
    Observation,
    Permission,
    Reference,
    Refresh,
    Resolution,
    TlsHandshake,
    WrongCredential,
)
from turnctl.diagnosis.plan import Plan, make_plan
from turnctl.wire.outcome import Family, Outcome

NOW = 1_700_000_000.0
USER = f"{NOW + 600:.0f}:lab"
HOST, ADDRESS, ADDRESS6 = "turn.example.org", "203.0.113.7", "2001:db8::7"
UDP = f"turn:{HOST}"
TCP = f"turn:{HOST}?transport=tcp"
TLS = f"turns:{HOST}"
TLS443 = f"turns:{HOST}:443"
STUN = f"stun:{HOST}"
RELAYED = (ADDRESS, 50000)
AT_HOME = "192.168.1.7"

OK, ERROR, SILENT, REFUSED = Outcome.OK, Outcome.ERROR, Outcome.SILENT, Outcome.REFUSED
CLOSED, FOREIGN, UNKNOWN = Outcome.CLOSED, Outcome.FOREIGN, Outcome.UNKNOWN
UNROUTABLE, TLS_FAILED = Outcome.UNROUTABLE, Outcome.TLS_FAILED

Codes = list[tuple[str, str]]


def plan(
    *urls: str,
    families: Sequence[Family] = (4,),
    user: str | None = USER,
    complete: bool = False,
) -> Plan:
    """A plan over these URLs with one credential."""
    credential = None if user is None else "password"
    return make_plan([IceServer(urls, user, credential)], families=families, complete=complete)


# --- a healthy story, step by step -------------------------------------------------------------

PROTOCOLS = {UDP: "udp", TCP: "tcp", TLS: "tls", TLS443: "tls", STUN: "udp"}
PORTS = {UDP: 3478, TCP: 3478, TLS: 5349, TLS443: 443, STUN: 3478}

HEALTHY: dict[type[Observation], dict[str, Any]] = {
    Resolution: {"host": HOST, "addresses": (ADDRESS,)},
    Connection: {},
    TlsHandshake: {"names": (HOST,)},
    Binding: {"mapped": ("192.0.2.5", 40000)},
    Challenge: {"outcome": ERROR, "code": 401, "realm": "example.org", "nonce": "nonce"},
    WrongCredential: {"outcome": ERROR, "code": 401},
    Allocation: {"username": USER, "relayed": RELAYED, "lifetime": 600},
    Permission: {"peer": "1.1.1.1", "purpose": "public"},
    Inbound: {"relayed": RELAYED, "sent": 1, "received": 1, "replied": True},
    Echo: {"sent": 20, "rtts_ms": (1.0,) * 20},
    Refresh: {"lifetime": 600},
}
"""The steps in their order, with what a healthy server gives."""

GOES_ON = {Permission, Inbound, Echo}
"""Steps after which the next ones are made even if they fail."""


def step(kind: type[Observation], url: str = UDP, family: Family = 4, **changes: Any) -> Any:
    """One observation, healthy but for the changes."""
    facts: dict[str, Any] = {"outcome": OK, **HEALTHY.get(kind, {}), **changes}
    address = ADDRESS if family == 4 else ADDRESS6
    if kind is Resolution and "addresses" not in changes:
        facts["addresses"] = (address,)
    if kind in (Connection, Binding):
        facts.setdefault("remote", (address, PORTS[url]))
    if kind is Binding:
        facts.setdefault("protocol", PROTOCOLS[url])
    if kind is Allocation and facts["outcome"] is not OK:
        facts["relayed"] = facts["lifetime"] = None
    return kind(url=url, family=family, **facts)


def steps_of(url: str) -> list[type[Observation]]:
    """The steps that a URL's probe makes."""
    left_out: set[type[Observation]] = set()
    if PROTOCOLS[url] == "udp":
        left_out |= {Connection, TlsHandshake}
    if PROTOCOLS[url] == "tcp":
        left_out |= {TlsHandshake}
    kinds = [kind for kind in HEALTHY if kind not in left_out]
    return kinds[: kinds.index(Binding) + 1] if url == STUN else kinds


def story(*changed: Exchange, url: str = UDP, family: Family = 4) -> list[Observation]:
    """Healthy steps, in which each given one replaces its kind. The story ends with the first given
    one that broke.
    """
    seen: list[Observation] = []
    for kind in steps_of(url):
        given = [one for one in changed if type(one) is kind]
        seen += given or [step(kind, url, family)]
        if kind not in GOES_ON and any(_broken(one) for one in given):
            break
    return seen


def _broken(one: Exchange) -> bool:
    expected = HEALTHY[type(one)].get("outcome", OK)
    return one.outcome is not expected or (isinstance(one, Challenge) and one.code != 401)


def control(transport: Any, port: int = 3478, outcome: Outcome = OK, url: str = UDP) -> Control:
    """The other transport's answer from the same host."""
    return Control(
        url=url,
        family=4,
        outcome=outcome,
        transport=transport,
        remote=(ADDRESS, port),
    )


def reference(outcome: Outcome, tcp: Outcome | None = None) -> Reference:
    return Reference(url="stun:stun.example.net", family=4, outcome=outcome, tcp=tcp)


def codes(made: Plan, seen: Sequence[Observation]) -> Codes:
    return [(f.code, str(f.severity)) for f in judge(made, seen, now=NOW)]


def verdicts(made: Plan, seen: Sequence[Observation]) -> tuple[str, list[str]]:
    """The verdict of the whole, and of each URL over each family."""
    record, findings = Record.of(made, seen), judge(made, seen, now=NOW)
    return overall(record, findings), [url_verdict(case, findings) for case in record.cases]
