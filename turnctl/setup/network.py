"""The DNS records and open ports that a deployment with a domain needs, compared with what this
host sees of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from turnctl.deployment import reachability
from turnctl.deployment.installation import Installation
from turnctl.host import interfaces

__all__ = ["advice"]


def advice(installation: Installation, *, full: bool) -> Iterator[str]:
    """Lines for the operator. Unless `full`, only the DNS records that are wrong."""
    came_back = dict.fromkeys(reachability.ports(installation), False)
    where = installation.where
    if full and where.external is not None:
        # Through the NAT and back. Without a NAT, a packet to the public address never leaves here.
        came_back = interfaces.ports_that_come_back(where.external, where.listen[0], came_back)
    a, aaaa = asyncio.run(interfaces.dns_answers(installation.domain or ""))
    records = list(reachability.records(installation, a, aaaa))
    return reachability.render(installation, records, came_back, full=full)
