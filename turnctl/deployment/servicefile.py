"""signalpost.yaml as `turnctl init` writes it.

Its head has a digest of the rest. If the digest doesn't match, somebody has edited the file, and it
stays as it is.
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
"""The source address of the edge's connections to the service. Nothing else uses it, so only the
edge's header about the client's address is trusted."""
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
    """The settings, with a relay at each of `hosts`, or at the domain and then over TLS too.
    `http` is the service's own address and port, `metrics` the port of its metrics. `note` says
    how the relay's address was found.
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
        "# Made by `turnctl init`. If you edit it, init keeps your version; `turnctl init "
        "--force`\n"
        f"# replaces it. Relay at {note}\n"
        f"# sha256 {hashlib.sha256(body.encode()).hexdigest()}\n{body}"
    )


def _is_edited(text: str) -> bool:
    found = DIGEST.match(text)
    if found is None:
        return True
    return hashlib.sha256(text[found.end() :].encode()).hexdigest() != found.group(1)


def put(path: Path, settings: str, *, force: bool, must: str | None = None) -> str:
    """Write it unless it was edited; return what was done. `must` says what would fail without the
    new settings: an edited file raises Unusable then. Raises Unusable."""
    present = None
    with owned(path.parent):
        try:
            present = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise Unusable(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise Unusable(f"{path} isn't UTF-8 text; fix it or remove it") from error
    if present is not None and not force and _is_edited(present):
        relays = json.dumps(yaml.safe_load(settings)["turn"]["relays"])
        if must is not None:
            raise Unusable(
                f"{path} was edited, so it stays as it is, and {must}. Set turn.relays in it to "
                f"{relays}, "
                "or give --force to replace the file"
            )
        return f"kept, because it was edited (--force replaces it); found: relays {relays}"
    write(path, settings, mode=0o644)
    return "written"
