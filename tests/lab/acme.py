"""A CA of the test's own: pebble, which validates by HTTP-01 as public CAs do."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.certs import Authority
from tests.lab.names import with_hosts
from tests.lab.parts import SYSTEM_PATH, unpacked
from tests.lab.programs import accepts, started
from tests.lab.provision import NEXT_EDGE

__all__ = ["PATH_WITH_LEGO", "Ca", "ca"]

PATH_WITH_LEGO = f"{SYSTEM_PATH}{os.pathsep}{NEXT_EDGE / 'usr' / 'bin'}"

LIFETIME = 90 * 86_400
PORT, MANAGEMENT_PORT = 14000, 15000


@dataclass(frozen=True, slots=True)
class Ca:
    """`directory` is the ACME URL, `https_root` what its own HTTPS is checked with, and `root`
    what its certificates are."""

    directory: str
    https_root: Path
    root: Path


@contextlib.contextmanager
def ca(
    folder: Path,
    *,
    namespace: str | None,
    http_port: int = 80,
    port: int = PORT,
    management_port: int = MANAGEMENT_PORT,
    hosts: Path | None = None,
    lifetime: int = LIFETIME,
    forbidden: Sequence[str] = (),
) -> Iterator[Ca]:
    """Run it on loopback; names resolve as /etc/hosts of the namespace has them, or `hosts`."""
    authority = Authority(folder)
    own = authority.issue(["127.0.0.1"])
    configuration = folder / "pebble.json"
    configuration.write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"127.0.0.1:{port}",
                    "managementListenAddress": f"127.0.0.1:{management_port}",
                    "certificate": str(own.chain),
                    "privateKey": str(own.key),
                    "httpPort": http_port,
                    "tlsPort": 443,
                    "domainBlocklist": list(forbidden),
                    "retryAfter": {"authz": 1, "order": 1},
                    "profiles": {"default": {"description": "", "validityPeriod": lifetime}},
                }
            }
        )
    )
    argv = [unpacked(NEXT_EDGE, "bin/pebble")[-1], "-config", str(configuration)]
    with started(
        argv if hosts is None else with_hosts(hosts, argv),
        folder / "pebble.log",
        ready=lambda: accepts("127.0.0.1", management_port, namespace),
        namespace=namespace,
        environment={
            # It sleeps and loses nonces at random, to try clients: lego has been tried.
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": "0",
        },
    ):
        root = _root(folder, namespace, management_port)
        yield Ca(f"https://127.0.0.1:{port}/dir", authority.root, root)


def _root(folder: Path, namespace: str | None, port: int) -> Path:
    """The root of the certificates it issues; it makes a new one at every start."""
    import ssl
    import urllib.request

    from tests.lab.coturn import within

    def fetch() -> bytes:
        context = ssl.create_default_context(cafile=str(folder / "root.pem"))
        url = f"https://127.0.0.1:{port}/roots/0"
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        with urllib.request.build_opener(*handlers).open(url, timeout=60) as answer:
            content: bytes = answer.read()
        return content

    path = folder / "issued-root.pem"
    path.write_bytes(within(namespace, fetch))
    return path
