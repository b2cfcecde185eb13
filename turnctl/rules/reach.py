"""Reaching the server: TCP connect, TLS, and silence told apart by what else answers."""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.addresses import is_private
from turnctl.case import Case, Record
from turnctl.edge.placeholder import ISSUER
from turnctl.findings import Finding
from turnctl.observations import Alpn, Binding, Connection, Exchange, Outcome, TlsHandshake
from turnctl.rules import FAIL, WARN, about, browsers, no_turn, reached_otherwise, replies

__all__ = ["link", "stun"]

RENEWAL_DAYS = 14
"""ACME clients renew thirty days before the end: two weeks before it, renewal is broken."""


def link(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """TCP connect and TLS."""
    connection = case.first(Connection)
    if connection and connection.outcome is not Outcome.OK:
        yield _unreached(record, case, connection)
        return
    handshake = case.first(TlsHandshake)
    if handshake is None:
        return
    if handshake.outcome is Outcome.OK:
        days = handshake.days_left
        if days is not None and days < RENEWAL_DAYS:
            summary = f"the certificate ends in {days:.1f} days"
            facts = {"notAfter": handshake.not_after, "names": list(handshake.names)}
            yield about(case, "tls-expires-soon", WARN, summary, handshake, **facts)
        alpn = case.first(Alpn)
        if alpn and alpn.outcome is Outcome.TLS_FAILED:
            summary = f"refuses a client that names TURN in its hello (ALPN): {alpn.detail}"
            yield about(case, "tls-alpn-refused", WARN, summary, alpn)
        yield from browsers.certificate(case, handshake)
        return
    if handshake.outcome is Outcome.LOSSY:
        yield no_turn(case, handshake, "the TLS handshake")
        return
    certificate = {
        "names": list(handshake.names) or None,
        "issuer": handshake.issuer,
        "notAfter": handshake.not_after,
    }
    host = case.probe.uri.host
    held = ", ".join(handshake.names) or "no name"
    match handshake.problem:
        case "untrusted" if ISSUER in (handshake.issuer or ""):
            code = "tls-placeholder"
            summary = "the edge has no certificate yet, and shows the placeholder it starts with"
        case "untrusted":
            code, summary = "tls-untrusted", f"the certificate is not trusted: {handshake.detail}"
        case "name-mismatch":
            code, summary = "tls-name-mismatch", f"the certificate is for {held}, not for {host}"
            if host in handshake.names:
                summary = f"the certificate has {host} only as its common name: browsers ignore it"
        case "chain-incomplete":
            code = "tls-chain-incomplete"
            summary = f"the certificate comes without its intermediate ({handshake.issuer})"
        case "ip-literal":
            code, summary = "tls-ip-literal", f"asks for {host}, and the certificate is for {held}"
        case "old-version":
            code, summary = "tls-old-version", f"speaks no TLS 1.2 or later: {handshake.detail}"
        case "expired":
            code, summary = "tls-expired", f"the certificate's time is over ({handshake.not_after})"
        case "refused":
            code, summary = "tls-refused", f"no TLS there: {handshake.detail}"
        case _:
            code, summary = "deadline-reached", handshake.detail
    yield about(case, code, FAIL, summary, handshake, **certificate)


def stun(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """STUN Binding: the first thing that only a STUN server answers."""
    binding = case.first(Binding)
    if binding is None:
        return
    probe = case.probe
    astray = [*replies.elsewhere(case)]
    if astray:
        yield from astray
        return
    if binding.outcome is Outcome.ERROR:
        summary = f"refuses STUN Binding: {binding.code} {binding.reason}".rstrip()
        yield about(case, "srflx-missing", WARN if probe.uri.relays else FAIL, summary, binding)
    elif binding.outcome is Outcome.OK:
        if binding.mapped is None:
            summary = "STUN answers without a mapped address"
            yield about(case, "srflx-missing", FAIL, summary, binding)
        else:
            yield from _mapped(record, case, binding, binding.mapped[0])
    elif case.turn_answered:
        # Clients get their mapped address with the allocation, and nobody without one.
        summary = "answers TURN, and STUN Binding not at all"
        yield about(case, "srflx-missing", WARN if probe.uri.relays else FAIL, summary, binding)
    elif probe.protocol == "udp" and binding.outcome in {Outcome.SILENT, Outcome.REFUSED}:
        faded = [*replies.went_silent(record, case)]
        if faded and binding.outcome is Outcome.SILENT:
            yield from faded
            return
        yield _unreached(record, case, binding)
    else:
        yield no_turn(case, binding, "STUN Binding")


def _is_beside(mapped: str, local: str) -> bool:
    """Whether both are IPv4 addresses of one /24, as in a home or an office."""
    return (
        local != "" and ":" not in mapped and mapped.rpartition(".")[0] == local.rpartition(".")[0]
    )


def _mapped(record: Record, case: Case, binding: Binding, mapped: str) -> Iterator[Finding]:
    """An address in the answer that cannot be ours: something between us and the server."""
    address, local = case.address or "", binding.local[0] if binding.local else ""
    elsewhere = is_private(mapped) and not is_private(address)
    if mapped == local or not (elsewhere or mapped == address):
        return
    if _is_beside(mapped, local):
        return  # the server's own network, through a router that hairpins
    summary = f"sees this machine at {mapped}, an address of the server's own side"
    if binding.protocol == "udp":
        yield about(case, "mapped-address-wrong", FAIL, summary, binding, mapped=mapped)
    else:
        yield about(case, "tls-proxy-hides-client", WARN, summary, binding, mapped=mapped)


def _unreached(record: Record, case: Case, seen: Exchange) -> Finding:
    """Silence or refusal. The code follows from what else this URL's own probe met at the host and
    at the reference; what other URLs met decides how sure it is (`turnctl.rules` says how).
    """
    uri, udp = case.probe.uri, case.probe.protocol == "udp"
    how = "refused" if seen.outcome is Outcome.REFUSED else "silent"
    if seen.outcome is Outcome.UNKNOWN:
        return about(case, "deadline-reached", FAIL, seen.detail, seen)
    if case.probe.family == 6 and reached_otherwise(record, case):
        summary = f"{uri.host} has the IPv6 address {case.address}, and it is {how}"
        return about(case, "ipv6-unreachable", FAIL, summary, seen)
    if case.probe.protocol == "tls" and how == "refused":
        # The host is there. Without a certificate coturn starts, and listens for no TLS.
        return about(case, "tls-refused", FAIL, f"port {uri.port}/tcp is refused", seen)
    # A refusal comes from the host itself: then only the same port tells a closed transport.
    port = uri.port if udp and how == "refused" else None
    if not case.alive_over("tcp" if udp else "udp", port=port):
        return _nothing_answers(record, case, seen, how)
    if case.probe.protocol == "tls":
        return about(case, "tls-refused", FAIL, f"port {uri.port}/tcp is {how}", seen)
    if not udp:
        summary = f"tcp to port {uri.port} is {how}, udp answers"
        return about(case, "tcp-blocked", FAIL, summary, seen)
    version = replies.low_ttl_version(record, case)
    if version and seen.outcome is Outcome.SILENT:
        summary = f"udp to port {uri.port} is silent, tcp answers and says that it is {version}"
        return about(case, "reply-ttl-low", FAIL, summary, seen, software=version)
    summary = f"udp to port {uri.port} is {how}, tcp answers"
    reference = record.reference_answers()
    if how == "refused" or reference is True:
        return about(case, "udp-blocked", FAIL, summary, seen, referenceAnswers=reference)
    if reference is False:
        summary = "udp is silent here and from an independent server: this network blocks it"
        return about(case, "client-network-blocks-udp", WARN, summary, seen)
    severity = WARN if record.carries_data else FAIL
    return about(case, "udp-blocked", severity, f"{summary}; {EITHER}", seen)


EITHER = "the server's firewall or this network blocks it (--stun-echo URI tells which)"


def _nothing_answers(record: Record, case: Case, seen: Exchange, how: str) -> Finding:
    """Neither transport answered this URL's probe."""
    uri, transport = case.probe.uri, "udp" if case.probe.protocol == "udp" else "tcp"
    summary = f"{uri.host} port {uri.port} is {how} over udp and tcp"
    if how == "silent" and record.reference_blocked():
        summary += ", and so is an independent server: this network lets few ports out"
        return about(case, "client-network-blocks-ports", WARN, summary, seen)
    if how != "silent" or not (record.alive_over(case, "udp") or record.alive_over(case, "tcp")):
        return about(case, "unreachable", FAIL, summary, seen)
    summary += f", and another port of {uri.host} answers"
    if record.lets_out(transport) or not record.carries_data:
        return about(case, "unreachable", FAIL, summary, seen)
    return about(case, "unreachable", WARN, f"{summary}; {EITHER}", seen)
