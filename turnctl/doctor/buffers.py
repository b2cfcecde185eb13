"""The look at socket buffers: UDP packets that were lost because a buffer was full, by the kernel's
counters since the host started.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look
from turnctl.host.ports import PROC

__all__ = ["judge", "look", "read_snmp", "read_snmp6"]

NOTICEABLE = 1e-4
"""The share of lost packets above which it's more than one busy moment."""
_WAYS = (
    ("udp-receive-errors", "InDatagrams", "RcvbufErrors", "received", "net.core.rmem_max"),
    ("udp-send-errors", "OutDatagrams", "SndbufErrors", "sent", "net.core.wmem_max"),
)


def look(proc: Path = PROC) -> Look:
    """Both families' counters, and the kernel's limits."""
    try:
        counters = {4: read_snmp((proc / "net/snmp").read_text())}
    except (OSError, ValueError) as error:
        return Look("buffers", unknown=(f"the kernel's UDP counters: {error}",))
    with contextlib.suppress(OSError):  # a kernel without IPv6
        counters[6] = read_snmp6((proc / "net/snmp6").read_text())
    limits = {}
    for name in ("net.core.rmem_max", "net.core.wmem_max"):
        try:
            limits[name] = int((proc / "sys" / name.replace(".", "/")).read_text())
        except (OSError, ValueError):
            continue  # only evidence
    total = sum(of.get("InDatagrams", 0) for of in counters.values())
    return Look("buffers", f"{total} UDP packets received", tuple(judge(counters, limits)))


def read_snmp(text: str) -> dict[str, int]:
    """The `Udp:` lines of /proc/net/snmp: names, then values. Raises ValueError without them."""
    names, values = (line.split()[1:] for line in text.splitlines() if line.startswith("Udp:"))
    return dict(zip(names, map(int, values), strict=True))


def read_snmp6(text: str) -> dict[str, int]:
    """The counters of /proc/net/snmp6, one per line: `Udp6InDatagrams 12`."""
    pairs = (line.split() for line in text.splitlines() if line.startswith("Udp6"))
    return {name.removeprefix("Udp6"): int(value) for name, value in pairs}


def judge(
    counters: Mapping[int, Mapping[str, int]], limits: Mapping[str, int]
) -> Iterator[Finding]:
    """Any lost packet is reported; a noticeable share is a warning."""
    for family, of in counters.items():
        for code, all_name, lost_name, done, limit in _WAYS:
            lost, total = of.get(lost_name, 0), of.get(all_name, 0)
            if not lost:
                continue
            share = lost / (lost + total)
            yield found(
                code,
                Severity.WARN if share >= NOTICEABLE else Severity.INFO,
                f"IPv{family}",
                f"{share:.2%} of all packets {done} since the host started were lost because "
                f"socket buffers were full ({lost} of {lost + total})",
                lost=lost,
                total=total,
                **{limit: limits.get(limit)},
            )
