"""The report for a person: what its rows say, word for word."""

from __future__ import annotations

import pytest

from tests.turnctl.reports.sample import SEEN, SHOWN_WORDS, STUN, UDP, hostile, report
from turnctl.diagnosis.observations import Binding, IceLeg, Resolution, TlsHandshake
from turnctl.diagnosis.report import Report
from turnctl.reports.text import Plain, closing, notes
from turnctl.wire.outcome import Outcome

WHOLE = """\
time    type   foundation  protocol  address          port   priority           URL  relay
0.001   host   01234567    udp       192.168.1.2      40000  126 | 65535 | 255
0.012   srflx  01234567    udp       192.0.2.5        40000  100 | 65535 | 255  turn:turn.example
0.023   relay  01234567    udp       203.0.113.7      50000  0 | 65535 | 255    turn:turn.example  udp

verdict  URL                 over  mapped           relayed            allocated  rtt ms          lost
PASS     turn:turn.example   IPv4  192.0.2.5:40000  203.0.113.7:50000  4.6 ms     10.0/19.0/19.0  1/20
FAIL     turns:turn.example  IPv4

TLS at turns:turn.example: certificate for turn.example, *.turn.example by CN=Example CA, expired 1 day ago
ICE over relay: connected in 23 ms, 203.0.113.7:50000 ↔ 203.0.113.7:50001 (relay)
ICE over srflx: not connected, no pair connected

FAIL  tls-expired
  turns:turn.example: the time is over
  → Renew the certificate, then send SIGUSR2 to turnserver so that it loads the new one.

INFO  relay-range-unproved
  turn:turn.example: not proved
  turn:turn.example: nor here
  → Nothing to fix. Run the check from another network to test the relay's port range.

FAIL  1 of 2 relay paths carry data, 1.23 s
"""  # noqa: E501  as wide as it is


def plain(made: Report) -> str:
    """What Plain prints, with the candidates as they were seen."""
    lines: list[str] = []
    printer = Plain(lines.append)
    for one in made.record.seen:
        printer.observe(one)
    printer.finish(made)
    return "\n".join(lines) + "\n"


def test_a_whole_report() -> None:
    """Candidates, a row a URL, certificate and ICE, findings by cause with their cure."""
    assert WHOLE == plain(report())


def test_candidates_are_printed_as_they_come() -> None:
    """Each at once, not with the verdicts at the end."""
    lines: list[str] = []
    printer = Plain(lines.append)
    printer.observe(SEEN[0])
    assert WHOLE.splitlines()[:2] == lines


def test_a_report_of_nothing() -> None:
    """Without any server there is the closing line alone."""
    assert "FAIL  no server was tested, 1.23 s\n" == plain(report((), (), (), ()))


def test_nobody_could_be_asked() -> None:
    """If every URL was skipped, the report doesn't mention STUN servers that did not answer."""
    unknown = report((UDP,), [], ("skipped", "skipped"), ())
    assert "FAIL  no server was tested, 1.23 s" == closing(unknown)


def test_a_servers_words_are_one_line() -> None:
    """What a server says cannot move the cursor, forge a line or turn the text round."""
    assert f"  {UDP}: {SHOWN_WORDS}" in plain(hostile()).splitlines()


def test_one_blank_line_between_parts() -> None:
    """One line separates the parts of a report, even if some are left out."""
    for made in (report(), report((UDP,), [], ("skipped", "skipped")), report((), (), ())):
        assert "\n\n\n" not in plain(made)
        assert not plain(made).startswith("\n")


def test_ipv6_addresses_stand_in_brackets() -> None:
    """So the port can't be mistaken for a part of the address."""
    remote, mapped = ("2001:db8::7", 3478), ("2001:db8::5", 40000)
    binding = Binding(
        url=UDP, family=6, outcome=Outcome.OK, protocol="udp", remote=remote, mapped=mapped
    )
    assert "[2001:db8::5]:40000" in plain(report((UDP,), [binding], ("skipped", "pass"), ()))


def test_a_skipped_family_is_no_news() -> None:
    """Unless its lookup failed, or there is nothing else to show."""
    assert "IPv6" not in plain(report())
    failed = Resolution(
        url=UDP, family=6, outcome=Outcome.SILENT, host="turn.example", detail="no answer"
    )
    made = report((UDP,), [*SEEN, failed], ("pass", "skipped"), ())
    assert "SKIPPED  turn:turn.example  IPv6" in plain(made)
    assert 2 == plain(report((UDP,), (), ("skipped", "skipped"), ())).count("SKIPPED")


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (
            IceLeg(url=UDP, kind="relay", outcome=Outcome.UNKNOWN, detail="not tried: no reason"),
            "ICE over relay: not tried: no reason",
        ),
        (
            TlsHandshake(
                url=UDP,
                family=4,
                outcome=Outcome.OK,
                version="TLSv1.3",
                names=("turn.example",),
                issuer="CN=CA",
                days_left=59.7,
            ),
            "TLS at turn:turn.example: TLSv1.3, certificate for turn.example by CN=CA, "
            "60 days left",
        ),
    ],
)
def test_notes(one: IceLeg | TlsHandshake, line: str) -> None:
    """A line for each certificate and each ICE leg."""
    assert [line] == notes(report((UDP,), [one], ("pass", "skipped"), ()))


@pytest.mark.parametrize(
    ("urls", "verdicts", "what"),
    [
        ((STUN,), ("pass", "skipped"), "1 STUN server answers"),
        ((STUN, "stun:x"), ("pass", "skipped", "fail", "skipped"), "1 STUN server answers"),
        (("stun:x",), ("fail", "skipped"), "0 STUN servers answer"),
        ((STUN, UDP), ("pass", "skipped", "fail", "skipped"), "0 of 1 relay paths carry data"),
    ],
)
def test_the_closing_line(urls: tuple[str, ...], verdicts: tuple[str, ...], what: str) -> None:
    """Relay paths are counted where there are any, STUN servers otherwise."""
    answered = Binding(
        url=STUN, family=4, outcome=Outcome.OK, protocol="udp", remote=("203.0.113.7", 3478)
    )
    assert f"PASS  {what}, 1.23 s" == closing(report(urls, [answered], verdicts, (), "pass"))
