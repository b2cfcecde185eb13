"""Judge how a NAT behaves, and what it means for calls, from STUN answers (RFC 4787, RFC 5780).

Silence proves filtering only if the silent address answers when it is asked directly. Otherwise the
behaviour is unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from turnctl.host.addresses import is_private
from turnctl.wire.outcome import Address, Family, Outcome

__all__ = ["Behaviour", "BindingResult", "Filtering", "Mapping", "NatEvidence", "judge"]


class Mapping(StrEnum):
    """Whether the address a peer sees depends on the peer (RFC 4787 section 4.1)."""

    NONE = "none"
    """No translation: servers see the local address."""
    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    DEPENDENT = "endpoint-dependent"
    """One of the two above; only a server with two ports shows which."""
    UNKNOWN = "unknown"


class Filtering(StrEnum):
    """From which addresses packets reach a port that has sent one (RFC 4787 section 5)."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    UNKNOWN = "unknown"


Method = Literal["rfc5780", "two-servers", "one-server", "none"]


@dataclass(frozen=True, slots=True)
class BindingResult:
    """The result of one Binding request; `source` is where the answer came from."""

    asked: Address
    outcome: Outcome
    mapped: Address | None = None
    source: Address | None = None


@dataclass(frozen=True, slots=True)
class NatEvidence:
    """Everything seen over one family.

    `answers` all belong to one socket. `other` is a server's OTHER-ADDRESS (RFC 5780 section 7.4).
    A socket that sent to nobody else asked that server to answer from there (`from_other`), and
    only from its other port (`from_other_port`). `hairpin` says whether two sockets here reach each
    other at their mapped addresses, None if that wasn't tried.
    """

    family: Family
    local: Address
    answers: tuple[BindingResult, ...]
    other: Address | None = None
    from_other: BindingResult | None = None
    from_other_port: BindingResult | None = None
    hairpin: bool | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The verdict; `meaning` is one sentence on what it means for calls."""

    mapping: Mapping
    filtering: Filtering
    hairpin: bool | None
    mapped: Address | None
    method: Method
    meaning: str

    @property
    def is_known(self) -> bool:
        """Whether the mapping is known, and so how calls will work."""
        return self.mapping is not Mapping.UNKNOWN


def judge(seen: NatEvidence) -> Behaviour:
    """How the NAT between here and the servers behaves."""
    outside = _from_outside(seen.answers)
    mapping, filtering = _mapping(seen.local, outside), _filtering(seen)
    translated = mapping not in (Mapping.NONE, Mapping.UNKNOWN)
    return Behaviour(
        mapping=mapping,
        filtering=filtering,
        hairpin=seen.hairpin if translated else None,
        mapped=outside[0].mapped if outside else None,
        method=_method(seen, outside),
        meaning=_meaning(mapping, filtering, outside),
    )


def _from_outside(answers: Sequence[BindingResult]) -> list[BindingResult]:
    """Answers from beyond the NAT. A server on the private network is on this side of it."""
    answered = [one for one in answers if one.mapped]
    return [one for one in answered if not is_private(one.asked[0])] or answered


def _mapping(local: Address, answers: Sequence[BindingResult]) -> Mapping:
    mapped = {one.mapped for one in answers}
    if not mapped:
        return Mapping.UNKNOWN
    if mapped == {local}:
        inside = is_private(local[0]) and all(is_private(one.asked[0]) for one in answers)
        return Mapping.UNKNOWN if inside else Mapping.NONE
    ports: defaultdict[str, set[Address | None]] = defaultdict(set)
    asked: defaultdict[str, set[int]] = defaultdict(set)
    for one in answers:
        ports[one.asked[0]].add(one.mapped)
        asked[one.asked[0]].add(one.asked[1])
    if any(len(seen) > 1 for seen in ports.values()):
        return Mapping.ADDRESS_AND_PORT_DEPENDENT
    if len(ports) == 1:
        return Mapping.UNKNOWN
    if len(mapped) == 1:
        return Mapping.ENDPOINT_INDEPENDENT
    if any(len(several) > 1 for several in asked.values()):
        return Mapping.ADDRESS_DEPENDENT
    return Mapping.DEPENDENT


def _filtering(seen: NatEvidence) -> Filtering:
    """RFC 5780 section 4.4."""
    other, both, port = seen.other, seen.from_other, seen.from_other_port
    if other is None or both is None or port is None:
        return Filtering.UNKNOWN
    reachable = {one.asked for one in seen.answers if one.outcome is Outcome.OK}
    if both.outcome is Outcome.OK and both.source == other:
        return Filtering.ENDPOINT_INDEPENDENT
    if both.outcome is not Outcome.SILENT or other not in reachable:
        return Filtering.UNKNOWN
    other_port = (port.asked[0], other[1])
    if port.outcome is Outcome.OK and port.source == other_port:
        return Filtering.ADDRESS_DEPENDENT
    if port.outcome is not Outcome.SILENT or other_port not in reachable:
        return Filtering.UNKNOWN
    return Filtering.ADDRESS_AND_PORT_DEPENDENT


def _method(seen: NatEvidence, outside: Sequence[BindingResult]) -> Method:
    if seen.other is not None:
        return "rfc5780"
    match len({one.asked[0] for one in outside}):
        case 0:
            return "none"
        case 1:
            return "one-server"
        case _:
            return "two-servers"


_SYMMETRIC = (
    "Symmetric NAT: calls connect directly only with peers on the open internet, or behind a NAT "
    "that lets in every port of a host it sent to. All others need the TURN relay."
)

_DIRECT = {
    Filtering.ENDPOINT_INDEPENDENT: "with every peer whose network lets UDP through.",
    Filtering.ADDRESS_DEPENDENT: "with every peer whose network lets UDP through.",
    Filtering.ADDRESS_AND_PORT_DEPENDENT: "except with peers behind a symmetric NAT, which need "
    "the TURN relay.",
    Filtering.UNKNOWN: "with most peers. Only a server with RFC 5780 can show whether that "
    "includes peers behind a symmetric NAT.",
}


def _meaning(mapping: Mapping, filtering: Filtering, outside: Sequence[BindingResult]) -> str:
    if not outside:
        return (
            "None of the servers answered over UDP. If they are running, this network blocks UDP, "
            "and calls need a TURN relay over TCP or TLS, preferably turns: on port 443."
        )
    match mapping:
        case Mapping.UNKNOWN if all(is_private(one.asked[0]) for one in outside):
            return (
                "Only servers on this private network answered, and the NAT isn't between here and "
                "them. Name one on the internet with --stun."
            )
        case Mapping.UNKNOWN:
            return (
                "There is a NAT, but one server isn't enough to find out how it maps. Name a "
                "second one with --stun."
            )
        case Mapping.NONE if filtering is Filtering.ENDPOINT_INDEPENDENT:
            return f"No NAT and no firewall: calls connect directly {_DIRECT[filtering]}"
        case Mapping.NONE:
            return f"No NAT: calls connect directly {_DIRECT[filtering]}"
        case Mapping.ENDPOINT_INDEPENDENT:
            return f"Calls connect directly {_DIRECT[filtering]}"
        case _:
            return _SYMMETRIC
