"""signalpost.yaml as `turnctl init` writes it, and how it knows that somebody has edited it since.

Its head holds the digest of what follows. A file with another digest is a person's work, and stays.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from turnctl.host.files import Unusable, owned, write

__all__ = ["EDGE_ADDRESS", "put", "render"]

EDGE_ADDRESS = "127.0.0.2/32"
"""Where the edge's connections to the service come from: an address that nothing else uses, so that
exactly the edge is believed when it tells a client's address."""
DIGEST = re.compile(r"\A(?:#.*\n)*?# sha256 ([0-9a-f]{64})\n")


def render(
    *,
    hosts: Sequence[str],
    port: int,
    http: tuple[str, int],
    metrics: int,
    note: str,
    domain: str | None = None,
    https_port: int = 443,
) -> str:
    """The settings: a relay at each of `hosts`, or under the domain over TLS too. `http` is the
    service's own address and port, `metrics` the port of its figures. `note` tells how the relay's
    address was found.
    """
    listener: dict[str, object] = {"host": http[0], "port": http[1]}
    relays: list[dict[str, object]] = [{"host": host, "udp": port, "tcp": port} for host in hosts]
    if domain is not None:
        listener |= {"public_name": domain, "trusted_proxies": [EDGE_ADDRESS]}
        relays = [{"host": domain, "udp": port, "tcp": port, "tls": https_port}]
    body = yaml.safe_dump(
        {
            "http": listener,
            "metrics": {"port": metrics},
            "turn": {"secrets_file": "turn-secret", "relays": relays},
            "auth": {
                "api_keys_file": "api-key",
                "token_keys_file": "token-key",
                "id_key_file": "id-key",
            },
        },
        sort_keys=False,
    )
    return (
        "# Made by `turnctl init`. Once you edit it init leaves it alone; `turnctl init --force`\n"
        f"# writes it anew. Relay at {note}\n"
        f"# sha256 {hashlib.sha256(body.encode()).hexdigest()}\n{body}"
    )


def _is_edited(text: str) -> bool:
    found = DIGEST.match(text)
    if found is None:
        return True
    return hashlib.sha256(text[found.end() :].encode()).hexdigest() != found.group(1)


def put(path: Path, settings: str, *, force: bool, must: str | None = None) -> str:
    """Write it unless it was edited; what was done, in words. `must` is why it has to be written:
    an edited one is refused then. Raises Unusable."""
    present = None
    with owned(path.parent):
        try:
            present = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Unusable(f"{path}: is not text; mend it, or remove it") from error
    if present is not None and not force and _is_edited(present):
        relays = json.dumps(yaml.safe_load(settings)["turn"]["relays"])
        if must is not None:
            raise Unusable(
                f"{path} was edited, so it is left as it is, and {must}; set turn.relays in it to "
                f"{relays}, or give --force to have it made anew"
            )
        return f"kept, since it was edited (--force writes it anew); found: relays {relays}"
    write(path, settings, mode=0o644)
    return "written"
