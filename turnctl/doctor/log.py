"""coturn's log: what it refused of its configuration, what it could not listen on, which version
it is. It runs on after most of these, so the log is the only place that tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from turnctl.coturn.versions import Version, parse_version
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found

__all__ = ["judge", "version_in"]

# 4.6.1 begins its lines with seconds ("0: : "), later versions with a date and a level.
HEAD = r"^(?:\d+: (?:\(\d+\): )?: ?|\S+ (?:ERROR|WARNING|INFO) )?(?:ERROR: |WARNING: )?"
REFUSED = re.compile(
    HEAD + r"((?:Bad configuration format|Unknown boolean value|Wrong address format"
    r"|-X : Wrong address format|Invalid port value|Aborting: invalid [\w-]+ value"
    r"|Cannot add a (?:listener|relay) address|Wrong user account|Unknown (?:user|group) name"
    r"|You cannot define external IP more than once|CONFIG ERROR: If|CONFIG ERROR: --no-udp-relay"
    r"|tls-listening-port \d+ is configured, but)\b.*)"
)
FAILED = re.compile(HEAD + r"(Cannot bind (?!local socket)\S+ listener socket to addr (\S+))")
VERSION = re.compile(r"Version Coturn-(\S+)")


def judge(place: str, text: str) -> Iterator[Finding]:
    """Each complaint once, however often coturn started."""
    told = set()
    for raw in text.splitlines():
        line = raw.rstrip("\0 ")
        if (match := REFUSED.match(line)) and match[1] not in told:
            told.add(match[1])
            yield found(
                "configuration-refused", Severity.FAIL, place, f"coturn says: {match[1]}", line=line
            )
        elif (match := FAILED.match(line)) and match[2] not in told:
            told.add(match[2])
            yield found(
                "listener-failed", Severity.FAIL, place, f"coturn says: {match[1]}", line=line
            )


def version_in(text: str) -> Version | None:
    """The version that wrote the log; of several starts the last one's."""
    for said in reversed(VERSION.findall(text)):
        try:
            return parse_version(said)
        except ValueError:
            continue
    return None
