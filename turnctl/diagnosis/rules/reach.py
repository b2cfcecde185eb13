"""Judge how the server was reached: TCP connect, TLS, and silence by what else answers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from signalpost.iceservers import DEFAULT_PORTS
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
from turnctl.diagnosis.placeholder import ISSUER
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
"""ACME clients renew thirty days before the end. Two weeks before it, renewal is broken."""


def link(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Judge TCP connect and TLS."""
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
            summary = (
                f"the server rejects clients that name TURN in the TLS hello (ALPN): {alpn.detail}"
            )
            yield about(case, "tls-alpn-refused", WARN, summary, alpn)
        yield from browsers.certificate(case, handshake)
        if handshake.public_names and not known_to_apps(handshake.public_names):
            issuer = handshake.public_names[-1]
            summary = (
                f"browsers trust the certificate, but apps built with libwebrtc may not: {issuer} "
                f"isn't in its list of roots ({TAKEN})"
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
            summary = (
                "the edge has no certificate yet and shows the placeholder that it starts with"
            )
        case "untrusted":
            code, summary = "tls-untrusted", f"the certificate isn't trusted: {handshake.detail}"
        case "name-mismatch":
            code, summary = "tls-name-mismatch", f"the certificate is for {held}, not for {host}"
            if host in handshake.names:
                summary = (
                    f"the certificate has {host} only as its common name, which browsers ignore"
                )
        case "chain-incomplete":
            code = "tls-chain-incomplete"
            summary = (
                f"the server sends its certificate without the intermediate ({handshake.issuer})"
            )
        case "ip-literal":
            code, summary = (
                "tls-ip-literal",
                f"the URL has the address {host}, but the certificate is for {held}",
            )
        case "old-version":
            code, summary = (
                "tls-old-version",
                f"the server doesn't speak TLS 1.2 or later: {handshake.detail}",
            )
        case "expired":
            code, summary = (
                "tls-expired",
                f"the certificate has expired or isn't valid yet ({handshake.not_after})",
            )
        case "refused":
            code, summary = _no_tls(record, case, handshake)
        case _:
            code, summary = "deadline-reached", handshake.detail
    yield about(case, code, FAIL, summary, handshake, **certificate)


def _no_tls(record: Record, case: Case, handshake: TlsHandshake) -> tuple[str, str]:
    """A handshake without a certificate. If plain STUN is answered at the port, it is coturn's."""
    plain = case.first(PlainBinding)
    detail = f"there is no TLS at this port: {handshake.detail}"
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
            "has no certificate that it can use (cert=, pkey=), or no-tls is set"
        )
        return "tls-refused", summary
    if handshake.endless:
        summary = (
            "the server accepts the connection and answers STUN without TLS, but never completes a "
            "TLS handshake: coturn 4.6 does this with no-tlsv1_2, whatever the certificate. If the "
            "port is the listening-port, write the tls-listening-port in the URL"
        )
        return "tls-old-version", summary
    summary = (
        f"{detail}, but the port answers STUN without TLS: most likely cert= and pkey= do not "
        "belong together, or cipher-list leaves no cipher that clients support"
    )
    return "tls-refused", summary


def stun(record: Record, case: Case, now: float) -> Iterator[Finding]:
    """Judge STUN Binding, the first request that only a STUN server answers."""
    binding = case.first(Binding)
    if binding is None:
        return
    probe = case.probe
    astray = [*replies.elsewhere(case)]
    if astray:
        yield from astray
        return
    if binding.outcome is Outcome.ERROR:
        summary = f"the server refuses STUN Binding: {binding.code} {binding.reason}".rstrip()
        yield about(case, "srflx-missing", WARN if probe.uri.relays else FAIL, summary, binding)
    elif binding.outcome is Outcome.OK:
        if binding.mapped is None:
            summary = "the server answers STUN without a mapped address"
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
        # Clients get their mapped address with an allocation, but not without one.
        summary = "the server answers TURN, but doesn't answer STUN Binding"
        yield about(case, "srflx-missing", WARN if probe.uri.relays else FAIL, summary, binding)
    elif binding.outcome is Outcome.SILENT and _hangs(record, case):
        summary = (
            "the server accepts TCP connections, but no longer answers over UDP or TCP: it hangs "
            "because a relay-ip isn't an address of its host or its database doesn't answer, or it "
            "is overloaded, or it isn't a TURN server"
        )
        yield about(case, "server-unresponsive", FAIL, summary, binding)
    elif probe.protocol == "udp" and binding.outcome in {Outcome.SILENT, Outcome.REFUSED}:
        yield _unreached(record, case, binding)
    else:
        yield no_turn(case, binding, "STUN Binding")


def _bogus(mapped: Address | None, asked: str) -> str:
    """Why Firefox rejects a mapped address: loopback, unspecified, port 0. "" if it doesn't."""
    if mapped is None or not asked:
        return ""
    address = ipaddress.ip_address(mapped[0])
    if address.is_loopback and not ipaddress.ip_address(asked).is_loopback:
        return "its own loopback address"
    if address.is_unspecified:
        return "the unspecified address"
    return "port 0" if mapped[1] == 0 else ""


def _mapped(record: Record, case: Case, binding: Binding, mapped: str) -> Iterator[Finding]:
    """An address in the answer that can't be ours comes from something in between."""
    address, local = case.address or "", binding.local[0] if binding.local else ""
    if bogus := _bogus(binding.mapped, address):
        summary = (
            f"the server sees this machine at {mapped}, {bogus}: Firefox rejects such an answer "
            "and gathers no relay"
        )
        yield about(case, "mapped-loopback", FAIL, summary, binding, mapped=mapped)
        return
    elsewhere = is_private(mapped) and not is_private(address)
    if mapped == local or not (elsewhere or mapped == address):
        return
    if is_beside(mapped, local):
        return  # the server's own network, through a router that hairpins
    summary = f"the server sees this machine at {mapped}, an address on its own side"
    if binding.protocol == "udp":
        yield about(case, "mapped-address-wrong", FAIL, summary, binding, mapped=mapped)
    else:
        yield about(case, "tls-proxy-hides-client", WARN, summary, binding, mapped=mapped)


def _hangs(record: Record, case: Case) -> bool:
    """Whether the port is silent over UDP and over TCP, although it accepts connections. Or over
    one of them, and over the other from the moment that credentials came.
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
    """Silence or refusal. The code follows from what else this URL's own probe saw at the host and
    at the reference. What other URLs saw decides how sure it is (`rules` says how).
    """
    uri, udp = case.probe.uri, case.probe.protocol == "udp"
    how = "refused" if seen.outcome is Outcome.REFUSED else "silent"
    if seen.outcome is Outcome.UNKNOWN:
        return about(case, "deadline-reached", FAIL, seen.detail, seen)
    if case.probe.family == 6 and reached_otherwise(record, case):
        summary = f"{uri.host} has the IPv6 address {case.address}, but it {HOW[how]}"
        return about(case, "ipv6-unreachable", FAIL, summary, seen)
    if case.probe.protocol == "tls" and how == "refused":
        # The host is there. Without a certificate coturn starts, but doesn't listen for TLS.
        summary = (
            f"port {uri.port}/tcp is closed, so nothing listens there: coturn leaves it closed if "
            "it can't read the files of cert= and pkey="
        )
        if not record.alive_over(case, "tcp") and not record.alive_over(case, "udp"):
            summary += ", or if coturn doesn't run"
        return about(case, "tls-refused", FAIL, summary, seen)
    # A refusal comes from the host itself, so only the same port shows a closed transport.
    port = uri.port if udp and how == "refused" else None
    if not case.alive_over("tcp" if udp else "udp", port=port):
        return _nothing_answers(record, case, seen, how)
    if case.probe.protocol == "tls":
        return about(case, "tls-refused", FAIL, f"port {uri.port}/tcp {HOW[how]}", seen)
    if not udp:
        summary = f"port {uri.port}/tcp {HOW[how]}, but {uri.port}/udp answers"
        return about(case, "tcp-blocked", FAIL, summary, seen)
    version = replies.low_ttl_version(record, case)
    if version and seen.outcome is Outcome.SILENT:
        summary = f"port {uri.port}/udp doesn't answer, but tcp does and reports {version}"
        return about(case, "reply-ttl-low", FAIL, summary, seen, software=version)
    summary = f"port {uri.port}/udp {HOW[how]}, but {uri.port}/tcp answers"
    reference = record.reference_answers()
    if how == "refused" or reference is True:
        return about(case, "udp-blocked", FAIL, summary, seen, referenceAnswers=reference)
    if reference is False:
        summary = (
            "neither this server nor an independent one answers over udp: this network blocks it"
        )
        return about(case, "client-network-blocks-udp", WARN, summary, seen)
    severity = WARN if record.carries_data else FAIL
    return about(case, "udp-blocked", severity, f"{summary}; {EITHER}", seen)


HOW = {"refused": "is closed", "silent": "doesn't answer"}
EITHER = "the server's firewall or this network blocks it (--stun-echo URI finds out which)"


def _nothing_answers(record: Record, case: Case, seen: Exchange, how: str) -> Finding:
    """What follows if neither transport answered this URL's probe."""
    uri, transport = case.probe.uri, "udp" if case.probe.protocol == "udp" else "tcp"
    summary = f"{uri.host} port {uri.port} {HOW[how]} over udp and tcp"
    if how == "silent" and record.reference_blocked():
        summary += (
            ", and neither does an independent server: this network lets only a few ports out"
        )
        return about(case, "client-network-blocks-ports", WARN, summary, seen)
    if how != "silent" or not (record.alive_over(case, "udp") or record.alive_over(case, "tcp")):
        return about(case, "unreachable", FAIL, summary, seen)
    summary += f", but another port of {uri.host} answers"
    if record.lets_out(transport) or not record.carries_data:
        return about(case, "unreachable", FAIL, summary, seen)
    return about(case, "unreachable", WARN, f"{summary}; {EITHER}", seen)
