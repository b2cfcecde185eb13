"""What browsers do with iceServers lists: lists.txt beside this file, and how browsers are asked.

The table is data: a browser run compares it with what the installed browsers do
(tests/referee/test_lists.py), and `turnctl check` has to say what it says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.scripted import Browser

__all__ = ["CASES", "CONF", "ListCase", "constructed", "gathered"]

TABLE = Path(__file__).with_name("lists.txt")

LOGIN = '"username": "alice", "credential": "correct-horse"'
URL = '"turn:203.0.113.1:20478"'
MACROS = {"@URL": URL, "@LOGIN": LOGIN, "@ENTRY": f'"urls": {URL}, {LOGIN}'}
REPEATED = re.compile(r"@(\\u[0-9a-f]{4}|.)\*([0-9]+)@")

CONF = (
    "lt-cred-mech",
    "user=alice:correct-horse",
    # What browsers make of null, a number and true.
    "user=null:correct-horse",
    "user=12345:correct-horse",
    "user=bob:12345",
    "user=carol:true",
    "user=dave:null",
)
"""The server's users."""


@dataclass(frozen=True, slots=True)
class ListCase:
    """One list: what each browser does, and the findings as SEVERITY CODE MEMBER."""

    name: str
    chromium: str
    firefox: str
    findings: tuple[str, ...]
    ice_servers: Any

    @property
    def seen(self) -> set[str]:
        return {self.chromium, self.firefox}

    @property
    def throws(self) -> bool:
        return not self.seen <= {"uses", "ignores", "accepts"}

    @property
    def gathers(self) -> bool:
        """Whether it is known what the browsers gather."""
        return bool(self.seen & {"uses", "ignores"})

    @property
    def relays(self) -> bool:
        return '"turn' in json.dumps(self.ice_servers).lower()


def _read(text: str) -> tuple[ListCase, ...]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    cases = []
    for head, body in zip(lines[::2], lines[1::2], strict=True):
        name, chromium, firefox, findings = head.split(" | ")
        for short, long in MACROS.items():
            body = body.replace(short, long)
        document = REPEATED.sub(lambda found: found[1] * int(found[2]), body)
        said = () if findings == "-" else tuple(findings.split(", "))
        cases.append(ListCase(name, chromium, firefox, said, json.loads(document)))
    return tuple(cases)


CASES = _read(TABLE.read_text())

CONSTRUCT = """
const said = {};
for (const [name, iceServers] of Object.entries(argument)) {
  try {
    new RTCPeerConnection({iceServers}).close();
    said[name] = "constructs";
  } catch (error) {
    said[name] = error.name;
  }
}
return said;
"""

GATHER = """
async function gathered([iceServers, wanted]) {
  let peer;
  try {
    peer = new RTCPeerConnection({iceServers});
  } catch (error) {
    return error.name;
  }
  const found = new Promise((resolve) => {
    peer.onicecandidate = ({candidate}) => {
      if (candidate === null) resolve("ignores");
      else if (candidate.type === wanted) resolve("uses");
    };
    setTimeout(resolve, 12000, "ignores");
  });
  peer.createDataChannel("");
  await peer.setLocalDescription(await peer.createOffer());
  const what = await found;
  peer.close();
  return what;
}
const said = {}, names = Object.keys(argument);
await Promise.all([...Array(8)].map(async () => {
  for (let name; (name = names.pop()) !== undefined;) said[name] = await gathered(argument[name]);
}));
return said;
"""


def constructed(browser: Browser, cases: tuple[ListCase, ...]) -> dict[str, str]:
    """Name → the error that the constructor throws, or "constructs"."""
    given = {case.name: case.ice_servers for case in cases}
    said: dict[str, str] = browser.run(CONSTRUCT, given)
    return said


def gathered(browser: Browser, cases: tuple[ListCase, ...]) -> dict[str, str]:
    """Name → the error, or whether the browser gathers from the server: a relayed candidate, or
    its mapped address where the list has STUN alone (the browser is behind a NAT).
    """
    given = {case.name: (case.ice_servers, "relay" if case.relays else "srflx") for case in cases}
    said: dict[str, str] = browser.run(GATHER, given, timeout=300)
    return said
