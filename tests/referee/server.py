"""A configuration brought to life: its coturn, and what stands in front of it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from signalpost.credentials import Secret, mint
from tests.lab.certs import Authority
from tests.lab.coturn import Version, listens, program
from tests.lab.netns import Namespace
from tests.lab.parts import find
from tests.lab.programs import accepts, started
from tests.referee import certificates
from tests.referee.configuration import SECRET, Configuration, Front, Login

__all__ = ["Place", "credential", "fill", "running", "values"]

START = 30.0
"""Seconds for coturn to open its listeners; 0.1 to 0.5 are usual. One that cannot bind tries again
for ever, and what its clients meet is nothing."""
FIRST_PORT, PORTS_EACH = 20_000, 10
FIRST_RELAY, RELAYS_EACH = 30_000, 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where servers run, and the two roots: the one that clients trust, and a stranger's."""

    public: Namespace
    behind_router: Namespace
    authority: Authority
    stranger: Authority

    def namespace(self, configuration: Configuration) -> Namespace:
        return self.public if configuration.place == "public" else self.behind_router


def values(number: int, version: Version, authority: Authority) -> dict[str, str]:
    """The ports of one configuration in one version, and nobody else's."""
    number = 2 * number + (version == "4.18.0")
    port, relay = FIRST_PORT + PORTS_EACH * number, FIRST_RELAY + RELAYS_EACH * number
    # coturn also opens the port after each of the first two, for RFC 5780.
    offsets = {"port": 0, "port2": 2, "tls": 4, "front": 6, "inner": 7}
    ports = {name: port + offset for name, offset in offsets.items()}
    relays = {"low": relay, "low1": relay + 1, "low2": relay + 2, "high": relay + RELAYS_EACH - 1}
    return {
        **{name: str(value) for name, value in {**ports, **relays}.items()},
        "root": str(authority.root),
    }


def fill(text: str, known: Mapping[str, str]) -> str:
    """The text with its placeholders filled in; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), text)


def credential(login: Login, user: str, now: float) -> tuple[str, str]:
    """Name and password with which a client called `user` asks."""
    match login:
        case "static":
            return "alice", "correct-horse"
        case "static-wrong-password":
            return "alice", "wrong-horse"
        case "static-unknown":
            return "bob", "correct-horse"
        case "static-colon":
            return "alice", "correct:horse"
        case "static-unicode":
            return "alice", "pässwörd"
    secret = {"rest-other-secret": "another", "rest-quoted-secret": f"'{SECRET}'"}
    key = [Secret(secret.get(login, SECRET))]
    if login == "rest-long-name":
        user += 400 * "x"
    made = mint(key, user, now=now - 7200 if login == "rest-expired" else now, ttl=3600)
    if login in {"rest-reversed", "rest-bar"}:
        expiry, _, name = made.username.partition(":")
        text = f"{name}:{expiry}" if login == "rest-reversed" else f"{expiry}|{name}"
        return text, _signed(text)
    return made.username, made.password


def _signed(username: str) -> str:
    digest = hmac.digest(SECRET.encode(), username.encode(), hashlib.sha1)
    return base64.b64encode(digest).decode()


@contextlib.contextmanager
def running(
    configuration: Configuration, version: Version, known: Mapping[str, str], place: Place
) -> Iterator[None]:
    """Run it while the block lasts. A coturn that does not like its configuration may have ended:
    that is what its clients meet.
    """
    namespace = place.namespace(configuration)
    with contextlib.ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="signalpost-referee-")
        directory = Path(stack.enter_context(folder))
        directory.chmod(0o755)
        known = {**known, "directory": str(directory)}
        if configuration.certificate:
            known |= _certificate(configuration, place, directory)
        if configuration.rules:
            namespace.nft(_table(fill(configuration.rules, known), known["port"]))
        if configuration.running:
            process = stack.enter_context(
                _coturn(configuration.lines, version, known, namespace, directory / "turn")
            )
            if configuration.signal:
                os.kill(process.pid, getattr(signal, configuration.signal))
        if configuration.also:
            stack.enter_context(
                _coturn(configuration.also, version, known, namespace, directory / "also")
            )
        if configuration.front:
            stack.enter_context(
                _front(configuration, configuration.front, known, place, directory / "front")
            )
        yield


def _table(rules: str, port: str) -> str:
    """Each server's rules in a table of its own, so that no two fill one chain."""
    return rules.replace("inet referee", f"inet referee{port}")


def _certificate(configuration: Configuration, place: Place, directory: Path) -> Mapping[str, str]:
    folder = directory / "certificate"
    folder.mkdir(mode=0o755)
    kind = configuration.certificate or ""
    made = certificates.make(kind, place.authority, place.stranger, folder)
    made.key.chmod(0o600)
    return {"cert": str(made.chain), "pkey": str(made.key)}


@contextlib.contextmanager
def _coturn(
    lines: tuple[str, ...],
    version: Version,
    known: Mapping[str, str],
    namespace: Namespace,
    directory: Path,
) -> Iterator[subprocess.Popen[bytes]]:
    directory.mkdir(mode=0o755)
    file, log = directory / "turnserver.conf", directory / "log"
    own = [f"userdb={directory / 'turndb'}", f"pidfile={directory / 'pid'}", "log-file=stdout"]
    file.write_text("\n".join([*(fill(line, known) for line in lines), *own, ""]))
    argv = ["ip", "netns", "exec", namespace.name, *program(version), "-c", str(file)]
    if version == "4.6.1":
        argv.append("--no-cli")
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=directory
        )
    try:
        deadline = time.monotonic() + START
        while not listens(process.pid):
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


_HAPROXY = """
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend turn
  mode {mode}
  bind 203.0.113.1:{front} {bind}
  {rules}
backend coturn
  mode {mode}
  server one {target} {options}
"""
_ASK, _HTTP = "default_backend coturn", "http-request return status 200 content-type text/html"
_FRONTS: Mapping[Front, Mapping[str, str]] = {
    "proxy-v2": {"options": "send-proxy-v2", "to": "inner"},
    "proxy-v1": {"options": "send-proxy", "to": "inner"},
    "no-proxy": {},
    "proxy-v2-to-plain": {"options": "send-proxy-v2"},
    "tls-proxy-v2": {"options": "send-proxy-v2", "to": "inner", "tls": "good"},
    "tls-no-proxy": {"tls": "good"},
    "tls-proxy-v2-untrusted": {"options": "send-proxy-v2", "to": "inner", "tls": "untrusted"},
    "tls-alpn-http": {
        "options": "send-proxy-v2",
        "to": "inner",
        "tls": "good",
        "alpn": "alpn h2,http/1.1",
    },
    "http-mode": {"mode": "http", "tls": "good"},
    "http-server": {"mode": "http", "rules": _HTTP},
    "tls-http-server": {"mode": "http", "tls": "good", "rules": _HTTP},
    "accepts-and-closes": {"rules": "tcp-request connection reject"},
    "silent": {
        "rules": "tcp-request inspect-delay 60s\n  tcp-request content accept if WAIT_END"
        f"\n  {_ASK}"
    },
}


@contextlib.contextmanager
def _front(
    configuration: Configuration,
    kind: Front,
    known: Mapping[str, str],
    place: Place,
    directory: Path,
) -> Iterator[None]:
    """HAProxy of this kind, before the address that the coturn behind it listens on."""
    directory.mkdir()
    said, namespace = _FRONTS[kind], place.namespace(configuration)
    bind = ""
    if "tls" in said:
        made = certificates.make(said["tls"], place.authority, place.stranger, directory)
        bundle = directory / "bundle.pem"
        bundle.write_bytes(made.chain.read_bytes() + made.key.read_bytes())
        bind = f"ssl crt {bundle} {said.get('alpn', '')}"
    address = "127.0.0.1" if "listening-ip=127.0.0.1" in configuration.lines else "203.0.113.1"
    text = {
        "mode": said.get("mode", "tcp"),
        "bind": bind,
        "rules": said.get("rules", _ASK),
        "target": f"{address}:{known[said.get('to', 'port')]}",
        "options": said.get("options", ""),
        "front": known["front"],
    }
    file = directory / "haproxy.cfg"
    file.write_text(fill(_HAPROXY, text))
    ready: Callable[[], bool] = lambda: accepts(  # noqa: E731
        "203.0.113.1", int(known["front"]), namespace.name
    )
    argv = [str(find("haproxy")), "-db", "-f", str(file)]
    with started(argv, directory / "log", ready=ready, namespace=namespace.name):
        yield
