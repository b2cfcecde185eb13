"""docs/browsers.md: written from what the referee saw, and read again to compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

from tests.lab.coturn import VERSIONS, Version
from tests.referee.exceptions import EXCEPTIONS, allowed
from tests.referee.trial import BY_CHANCE, Row, disagreement

__all__ = ["PATH", "read", "render"]

PATH = Path(__file__).resolve().parents[2] / "docs" / "browsers.md"

HEAD = """# What browsers do with a TURN server, and what `turnctl check` says about it

`python -m tests.referee` writes this page, so don't edit it.
The browsers were {browsers}.
Each row is one URL of one server, tried alone by both browsers and by the check. The clients are
behind a symmetric NAT, one or two routers away from the servers. `make test` tries a tenth of the
rows again, `make soak` all of them.

**{urls} URLs of {configurations} configurations, in coturn {versions}.** A browser's results mean:

| result | what was seen |
| --- | --- |
| relay and data | This URL alone gave a relay candidate, and data passed as described below |
| data between relays alone | The same, but no data passed between a relay and a peer without one |
| data to direct peers alone | The same, but no data passed between two relays |
| relay, no data | A relay candidate was gathered, but no data passed |
| srflx | A server-reflexive candidate was gathered (`stun:` URLs) |
| nothing | No candidate was gathered within twelve seconds |
| throws … | `new RTCPeerConnection` threw this error |

Data is a message on a data channel and its echo. It has to pass between two relays of this URL, and
between a relay and a peer without one.

The check's verdict is `fail` if it ends with status 1. Its failing and warning codes follow. If
both coturn versions gave the same results, they share a row. The configurations are in
`tests/referee/corpus`.

## The rule

The check passes only if both browsers carry data between relays. It fails only if one of them
carries none, or none to a peer without a relay.
The rule isn't applied to {chance}. There, some
`relay-ip` are not the host's and allocations use them in turn, so each client sees a different
server.

{disagreements} of {urls} rows break the rule, all for one of these reasons:

"""

PAGE = """### The page

Open the browser's console on any page, and run this with a URL from above.

```js
const url = "turn:203.0.113.1:3478?transport=udp";
const server = {urls: url, username: "alice", credential: "correct-horse"};
const [one, other] = [0, 1].map(() =>
  new RTCPeerConnection({iceServers: [server], iceTransportPolicy: "relay"}));
let begin;
const described = new Promise((done) => { begin = done; });
for (const [from, to] of [[one, other], [other, one]])
  from.onicecandidate = ({candidate}) => {
    console.log(candidate?.candidate ?? "no more candidates");
    if (candidate) described.then(() => to.addIceCandidate(candidate));
  };
const channel = one.createDataChannel("");
channel.onopen = () => channel.send("hello");
other.ondatachannel = ({channel}) => { channel.onmessage = ({data}) => console.log(data); };
await one.setLocalDescription();
await other.setRemoteDescription(one.localDescription);
await other.setLocalDescription();
await one.setRemoteDescription(other.localDescription);
begin();
```

"""

TABLE = """## Every URL

| configuration | URL | coturn | Chromium | Firefox | check | codes |
| --- | --- | --- | --- | --- | --- | --- |
"""
BOTH = "both"


def render(rows: Sequence[Row], browsers: Sequence[str]) -> str:
    """The whole document. `browsers` are names with versions."""
    contradictions = [row for row in rows if disagreement(row)]
    parts = [
        HEAD.format(
            browsers=" and ".join(browsers),
            urls=len(rows),
            configurations=len({row.configuration for row in rows}),
            versions=" and ".join(VERSIONS),
            disagreements=len(contradictions),
            chance=", ".join(f"`{name}`" for name in sorted(BY_CHANCE)),
        )
    ]
    for one in EXCEPTIONS:
        where = {row.configuration: None for row in contradictions if allowed(row) is one}
        names = ", ".join(f"`{name}`" for name in where)
        parts.append(f"### `{one.name}`\n\n{one.why}\n\nSeen in {names}. ")
        parts.append(f"To see it, set `url` below to `{one.url}`.\n\n")
    parts.append(PAGE)
    parts.append(TABLE)
    parts += [f"| {' | '.join(cells)} |\n" for cells in _merged(rows)]
    return "".join(parts)


def read(text: str) -> Mapping[tuple[str, str, Version], Row]:
    """The rows of the table, each version by itself again."""
    _, _, table = text.partition(TABLE)
    found: dict[tuple[str, str, Version], Row] = {}
    for line in table.splitlines():
        name, url, version, chromium, firefox, verdict, codes = (
            cell.strip() for cell in line.strip("|").split(" | ")
        )
        for one in VERSIONS if version == BOTH else [cast(Version, version)]:
            row = Row(name, _uncode(url), one, chromium, firefox, verdict, tuple(_codes(codes)))
            found[row.key] = row
    return found


def _merged(rows: Sequence[Row]) -> Iterable[tuple[str, ...]]:
    """Cells of each row; one row for both versions where they are alike."""
    by_url: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_url.setdefault((row.configuration, row.url), []).append(row)
    for several in by_url.values():
        cells = {_cells(row): row.version for row in several}
        same = len(cells) == 1 and len(several) == len(VERSIONS)
        for (name, url, *rest), version in cells.items():
            yield name, url, BOTH if same else version, *rest


def _cells(row: Row) -> tuple[str, ...]:
    codes = ", ".join(f"`{code}`" for code in row.codes)
    return row.configuration, f"`{row.url}`", row.chromium, row.firefox, row.verdict, codes


def _uncode(cell: str) -> str:
    return cell.removeprefix("`").removesuffix("`")


def _codes(cell: str) -> list[str]:
    return [_uncode(one) for one in cell.split(", ") if one]
