"""Reaching the server: TCP connect, TLS, and silence told apart by what else answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from signalpost.iceservers import DEFAULT_PORTS
from turnctl.deployment.edge.issuer import ISSUER
from turnctl.diagnosis.approots import TAKEN, known_to_apps
from turnctl.diagnosis.case import Case, Record
from turnctl.diagnosis.catalogue import Finding
from turnctl.diagnosis.observations import (
    Allocation,
    Alpn,
    Binding,
    Connection,
    Exchange,
    PlainBinding,
    TlsHandshake,
)
from turnctl.diagnosis.rules import (
    FAIL,
    INFO,
    WARN,
    about,
    browsers,
    no_turn,
    reached_otherwise,
    replies,
)
from turnctl.host.addresses import is_beside, is_private
from turnctl.wire.outcome import Address, Outcome

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
        if handshake.public_names and not known_to_apps(handshake.public_names):
            issuer = handshake.public_names[-1]
            summary = (
                f"browsers trust the certificate, and apps built with libwebrtc may not: {issuer} "
                f"is not in its own list of roots ({TAKEN})"
            )
            facts = {"issuer": handshake.issuer}
            yield about(case, "tls-root-unknown-to-apps", INFO, summary, handshake, **facts)
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
            code, summary = _no_tls(record, case, handshake)
        case _:
            code, summary = "deadline-reached", handshake.detail
    yield about(case, code, FAIL, summary, handshake, **certificate)


def _no_tls(record: Record, case: Case, handshake: TlsHandshake) -> tuple[str, str]:
    """A handshake without a certificate. Plain STUN at the port tells coturn from somebody else."""
    plain = case.first(PlainBinding)
    detail = f"no TLS there: {handshake.detail}"
    if plain is None or plain.outcome not in {Outcome.OK, Outcome.ERROR}:
        return "tls-refused", detail
    uri = case.probe.uri
    if uri.port == DEFAULT_PORTS["turn"] or any(
        (other.address, other.probe.uri.port) == (case.address, uri.port)
        and other.probe.protocol != "tls"
        for other in record.cases
    ):
        summary = (
            f"{detail}. The port answers STUN without TLS: it is coturn's plain port, and coturn "
            "has no certificate that it could use (cert=, pkey=), or no-tls is set"
        )
        return "tls-refused", summary
    if handshake.endless:
        summary = (
            "takes the connection, answers STUN without TLS, and never ends a TLS handshake: so "
            "does coturn 4.6 with no-tlsv1_2, whatever the certificate. If the port is the "
            "listening-port, the URL needs the tls-listening-port"
        )
        return "tls-old-version", summary
    summary = (
        f"{detail}, and STUN without TLS is answered: cert= and pkey= do not belong together, most "
        "likely, or cipher-list leaves no cipher that clients know"
    )
    return "tls-refused", summary


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
    elif (
        probe.protocol == "udp"
        and binding.outcome is Outcome.SILENT
        and (faded := [*replies.went_silent(record, case)])
    ):
        yield from faded
    elif case.turn_answered:
        # Clients get their mapped address with the allocation, and nobody without one.
        summary = "answers TURN, and STUN Binding not at all"
        yield about(case, "srflx-missing", WARN if probe.uri.relays else FAIL, summary, binding)
    elif binding.outcome is Outcome.SILENT and _hangs(record, case):
        summary = (
            "takes TCP connections, and does not answer over UDP or over TCP any more: it hangs, "
            "over a relay-ip that is not an address of its host or over its database, or it is "
            "overloaded, or it is no TURN server"
        )
        yield about(case, "server-unresponsive", FAIL, summary, binding)
    elif probe.protocol == "udp" and binding.outcome in {Outcome.SILENT, Outcome.REFUSED}:
        yield _unreached(record, case, binding)
    else:
        yield no_turn(case, binding, "STUN Binding")


def _bogus(mapped: Address | None, asked: str) -> str:
    """Why browsers refuse a mapped address. Firefox: loopback, unspecified, port 0."""
    if mapped is None or not asked:
        return ""
    address = ipaddress.ip_address(mapped[0])
    if address.is_loopback and not ipaddress.ip_address(asked).is_loopback:
        return "its own loopback address"
    if address.is_unspecified:
        return "the unspecified address"
    return "port 0" if mapped[1] == 0 else ""


def _mapped(record: Record, case: Case, binding: Binding, mapped: str) -> Iterator[Finding]:
    """An address in the answer that cannot be ours: something between us and the server."""
    address, local = case.address or "", binding.local[0] if binding.local else ""
    if bogus := _bogus(binding.mapped, address):
        summary = (
            f"sees this machine at {mapped}, {bogus}: Firefox refuses such an answer, and gathers "
            "no relay"
        )
        yield about(case, "mapped-loopback", FAIL, summary, binding, mapped=mapped)
        return
    elsewhere = is_private(mapped) and not is_private(address)
    if mapped == local or not (elsewhere or mapped == address):
        return
    if is_beside(mapped, local):
        return  # the server's own network, through a router that hairpins
    summary = f"sees this machine at {mapped}, an address of the server's own side"
    if binding.protocol == "udp":
        yield about(case, "mapped-address-wrong", FAIL, summary, binding, mapped=mapped)
    else:
        yield about(case, "tls-proxy-hides-client", WARN, summary, binding, mapped=mapped)


def _hangs(record: Record, case: Case) -> bool:
    """Whether the port is silent over UDP and over TCP, which it takes connections of; or over one
    of them, and over the other from the moment that credentials came.
    """
    here = [
        other
        for other in record.cases
        if (other.address, other.probe.uri.port) == (case.address, case.probe.uri.port)
    ]
    silent = {
        other.probe.protocol
        for other in here
        if not other.turn_answered
        and any(one.outcome is Outcome.SILENT for one in other.each(Binding))
    }
    stopped = {
        other.probe.protocol
        for other in here
        if any(one.outcome is Outcome.SILENT for one in other.each(Allocation))
    }
    return "tcp" in silent | stopped and "udp" in silent | stopped


def _unreached(record: Record, case: Case, seen: Exchange) -> Finding:
    """Silence or refusal. The code follows from what else this URL's own probe met at the host and
    at the reference; what other URLs met decides how sure it is (`rules` says how).
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
        summary = (
            f"port {uri.port}/tcp is refused, nothing listens there: coturn leaves it closed when "
            "it cannot read the files of cert= and pkey="
        )
        if not record.alive_over(case, "tcp") and not record.alive_over(case, "udp"):
            summary += ", and so is it when coturn does not run"
        return about(case, "tls-refused", FAIL, summary, seen)
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
