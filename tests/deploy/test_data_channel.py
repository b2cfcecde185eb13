"""Two browsers behind networks that let out TCP 80 and 443 alone: a call through the one port."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests.lab import acme, browser
from tests.lab.deployment import DOMAIN, Deployment
from tests.lab.names import names
from tests.lab.netns import SERVER, Internet

CALL = """
async (room) => {
  const seen = [];
  const socket = new WebSocket(`wss://${location.host}/v1/signal`, "signalpost.v1");
  const say = (message) => socket.send(JSON.stringify(message));
  let pc, other, channel;
  const failed = (why) => ({error: why, seen});
  return await new Promise((done) => {
    setTimeout(() => done(failed(pc ? pc.iceConnectionState : "no welcome")), 120000);
    socket.onclose = (event) => done(failed(`socket closed: ${event.code} ${event.reason}`));
    const open = (made) => {
      channel = made;
      channel.onopen = () => channel.send(`hello from ${room}`);
      channel.onmessage = async (event) => {
        const stats = await pc.getStats();
        const transport = [...stats.values()].find((one) => one.type === "transport");
        const pair = stats.get(transport.selectedCandidatePairId);
        const [local, remote] = [pair.localCandidateId, pair.remoteCandidateId].map(
          (id) => stats.get(id));
        // The other one shall have this side's message before the channel goes.
        if (!channel.told) { channel.told = true; channel.send("bye"); }
        if (event.data !== "bye") { seen.push(event.data); return; }
        done({seen, types: [local.candidateType, remote.candidateType],
              over: local.relayProtocol, url: local.url});
      };
    };
    const connect = (iceServers) => {
      pc = new RTCPeerConnection({iceServers});
      pc.onicecandidate = (event) => say({type: "signal", to: other,
                                          data: {candidate: event.candidate}});
      pc.ondatachannel = (event) => open(event.channel);
    };
    const offer = async () => {
      open(pc.createDataChannel("call"));
      await pc.setLocalDescription();
      say({type: "signal", to: other, data: {description: pc.localDescription}});
    };
    socket.onopen = () => say({type: "hello"});
    socket.onmessage = async (event) => {
      const message = JSON.parse(event.data);
      if (message.type === "welcome") {
        connect(message.iceServers);
        say({type: "join", room});
      } else if (message.type === "joined" && message.peers.length) {
        other = message.peers[0].peer;  // the newcomer calls
        await offer();
      } else if (message.type === "peer-joined") {
        other = message.peer;
      } else if (message.type === "signal") {
        if (message.data.description) {
          await pc.setRemoteDescription(message.data.description);
          if (message.data.description.type === "offer") {
            await pc.setLocalDescription();
            say({type: "signal", to: other, data: {description: pc.localDescription}});
          }
        } else if (message.data.candidate) {
          await pc.addIceCandidate(message.data.candidate);
        }
      } else if (message.type === "error") {
        done(failed(message.code));
      }
    };
  });
}
"""
"""Joins a room by the native protocol, connects with whoever is in it, and tells how."""


async def test_two_browsers_behind_443_alone(
    internet: Internet, deployed: Deployment, ca: acme.Ca, tmp_path: Path
) -> None:
    """Page and signaling over HTTPS, data over TURNS: both browsers' selected candidates are
    relayed over TLS, and what one says the other hears."""
    sites = [internet.join("only-80-443") for _ in range(2)]
    pinned = browser.pin(deployed.edge_pem.read_bytes())

    async def call(page: Page) -> dict[str, Any]:
        answer = await page.goto(f"https://{DOMAIN}/healthz", timeout=browser.PATIENCE)
        assert answer is not None
        assert 200 == answer.status
        told: dict[str, Any] = await page.evaluate(CALL, "lobby")
        return told

    async with AsyncExitStack() as stack:
        pages = []
        for number, site in enumerate(sites):
            stack.enter_context(names(site.client, DOMAIN, [SERVER]))
            home = tmp_path / f"browser{number}"
            home.mkdir()
            pages.append(
                await stack.enter_async_context(browser.page(site.client, home, pinned=pinned))
            )
        results = await asyncio.gather(*map(call, pages))
    for told in results:
        assert ["relay", "relay"] == told.get("types"), json.dumps(results, indent=1)
        assert "tls" == told["over"]
        assert ["hello from lobby"] == told["seen"]
        assert told["url"].startswith(f"turns:{DOMAIN}:443")
