"""The check page in a real browser, against a real coturn that works or does not."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.stand import Service
from tests.lab import coturn
from tests.lab.browser import PATIENCE
from tests.lab.coturn import Server

DONE = "#verdict:is([data-state=pass], [data-state=warn], [data-state=fail])"


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    made = context.new_page()
    made.set_default_timeout(PATIENCE)
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.goto(f"{service.url}check")
    yield made
    context.close()
    assert [] == faults


def _report(page: Page) -> dict[str, Any]:
    page.wait_for_selector(DONE)
    page.click("#copy")
    report: dict[str, Any] = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    return report


def _check(page: Page, text: str, username: str = "", credential: str = "") -> dict[str, Any]:
    """Type other servers in and check them."""
    page.wait_for_selector(DONE)
    page.check("input[value=typed]")
    page.fill("#text", text)
    page.fill("#username", username)
    page.fill("#credential", credential)
    page.click("#typed button")
    return _report(page)


def _codes(report: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def test_a_service_that_works(page: Page, relay: Server) -> None:
    """Candidates in the table, data through the relay over every URL, and a verdict."""
    report = _report(page)
    assert "pass" == page.get_attribute("#verdict", "data-state")
    urls = {each["url"]: each for each in report["urls"]}
    for transport in ("udp", "tcp"):
        url = urls[f"turn:{relay.host}:{relay.port}?transport={transport}"]
        assert ("pass", 20, 20) == (url["verdict"], url["sent"], url["received"])
        assert 0 < url["rttMs"]["p50"] <= url["rttMs"]["max"]
    relays = [each for each in report["candidates"] if each["type"] == "relay"]
    assert {"udp", "tcp"} == {each["relayProtocol"] for each in relays}
    assert relay.host == relays[0]["address"]
    assert len(report["candidates"]) == page.locator("#candidates tr").count()
    assert "pass" == report["signaling"]["verdict"]


def test_the_language_is_switched(page: Page, relay: Server) -> None:
    """After a check, too: no row keeps its name in the other language."""
    _report(page)
    english = page.inner_text("#urls")
    assert "signaling (WebSocket)" in english
    page.click("#language")
    assert "信令（WebSocket）" in page.inner_text("#urls")
    assert "signaling (WebSocket)" not in page.inner_text("#urls")
    page.click("#language")
    assert english == page.inner_text("#urls")


def test_a_credential_that_is_refused(page: Page, relay: Server) -> None:
    """Causes have the names that turnctl gives them."""
    assert _codes(_check(page, relay.uri(), "9999999999:ann", "wrong")) >= {"secret-mismatch"}
    assert _codes(_check(page, relay.uri(), "1000000000:ann", "wrong")) >= {"credential-expired"}
    assert "fail" == page.get_attribute("#verdict", "data-state")


def test_a_port_where_nothing_answers(page: Page, relay: Server) -> None:
    """Blocked UDP beside working TCP gets its own cause, and calls are still possible."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((relay.host, 0))
        port = silent.getsockname()[1]
        credential = relay.credential()
        report = _check(
            page,
            f"turn:{relay.host}:{port}?transport=udp {relay.uri('tcp')}",
            credential.username,
            credential.password,
        )
    assert {"udp-blocked", "gathering-slow"} <= _codes(report)
    assert "but calls may still connect" in page.inner_text("#verdict-text")


def test_a_relay_that_was_busy(page: Page, relay: Server) -> None:
    """Slow gathering isn't blamed on the servers if each answers soon by itself."""
    page.wait_for_selector(DONE)
    os.kill(relay.pid, signal.SIGSTOP)
    try:
        page.click("#run")
        page.wait_for_timeout(4_000)
    finally:
        os.kill(relay.pid, signal.SIGCONT)
    report = _report(page)
    slow = any((each.get("allocateMs") or 0) > 3_000 for each in report["urls"])
    assert slow == ("gathering-slow" in _codes(report))


def test_a_relay_that_refuses_its_own_address(
    browser: Browser, page: Page, own_address: str
) -> None:
    """An allocation proves nothing alone: data has to pass."""
    lines = [f"denied-peer-ip={own_address}"]
    with coturn.running(own_address, lines=lines, own_peer=False) as server:
        credential = server.credential()
        report = _check(page, server.uri(), credential.username, credential.password)
    assert {"ice-relay-failed"} <= _codes(report)


WRONG = {
    "": "nothing-to-check",
    "http://example.org": "url-malformed",
    "turn:turn.example.org": "credential-missing",
    "{": "json-malformed",
    '{"a": 1}': "issuer-bad-response",
    "[null, 3]": "issuer-bad-response",
    "turn:turn.example.org:25": "url-blocked-port",
    "stun:nowhere.invalid": "dns-no-address",
}


def test_wrong_things_typed(page: Page) -> None:
    """For any input the page says what is wrong with it and goes on."""
    for text, code in WRONG.items():
        assert code in _codes(_check(page, text)), text
    page.check("input[value=service]")
    page.click("#run")
    page.wait_for_selector("#verdict[data-state=pass]")


def test_a_service_that_is_gone(page: Page, service: Service) -> None:
    """The page that is still open says that nobody answers."""
    page.wait_for_selector(DONE)
    service.kill()
    page.click("#run")
    page.wait_for_selector("#verdict[data-state=fail]")
    assert {"issuer-unreachable"} == _codes(_report(page))


SPACES = {
    "127.0.0.1": "loopback",
    "[::1]": "loopback",
    "localhost": "loopback",
    "10.0.0.7": "local",
    "172.16.0.1": "local",
    "172.32.0.1": "public",
    "192.168.1.1": "local",
    "100.64.0.1": "local",
    "[fd00::1]": "local",
    "[2001:db8::1]": "public",
    "turn.home.arpa": "local",
    "turn.example.org": "public",
}
ASKED = """async ([host, page, state]) => {
  const local = await import("/check/localnetwork.js");
  const { judgeLocal } = await import("/check/causes.js");
  const known = state !== "unknown";
  const query = async ({ name }) => {
    if (!known || name === "local-network") throw new TypeError(name);
    return { state };
  };
  const allowed = local.isGated(host, page) ? await local.permission(host, { query }) : null;
  const judged = { verdict: "fail", findings: [{ code: "unreachable" }, { code: "udp-blocked" }] };
  return judgeLocal(judged, allowed).findings.map(({ code }) => code);
}"""


def test_local_network_access(page: Page) -> None:
    """A private server that a public page may not reach is named so, by each state of the
    permission; browsers that have none say nothing, and private pages need none."""
    spaces = page.evaluate(
        """async (hosts) => {
          const { addressSpace } = await import("/check/localnetwork.js");
          return Object.fromEntries(hosts.map((host) => [host, addressSpace(host)]));
        }""",
        list(SPACES),
    )
    assert SPACES == spaces
    for host, of, state, code in (
        ("192.168.1.1", "calls.example.org", "denied", "local-network-denied"),
        ("192.168.1.1", "calls.example.org", "prompt", "local-network-unasked"),
        ("127.0.0.1", "192.168.1.1", "denied", "local-network-denied"),
        ("192.168.1.1", "calls.example.org", "granted", "unreachable"),
        ("192.168.1.1", "calls.example.org", "unknown", "unreachable"),
        ("192.168.1.1", "10.0.0.2", "denied", "unreachable"),
        ("turn.example.org", "calls.example.org", "denied", "unreachable"),
    ):
        assert [code, "udp-blocked"] == page.evaluate(ASKED, [host, of, state])
