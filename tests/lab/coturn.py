"""A real turnserver as a local process, for one test.

`with running(address) as server:` starts it with a small base configuration plus the test's own
lines, waits until it answers on every listener, and ends it by its pid. Two versions are there:
this Debian's, and the next one's, which runs from an unpacked tree with its own libraries.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from signalpost.credentials import Credential, Secret, mint
from signalpost.iceservers import IceUri
from tests.lab.certs import Certificate
from tests.lab.clocks import shifted
from tests.lab.parts import require, unpacked
from tests.lab.ports import candidates
from tests.lab.provision import NEXT_COTURN

__all__ = [
    "REALM",
    "VERSIONS",
    "Server",
    "Version",
    "listens",
    "own_address",
    "own_address6",
    "program",
    "running",
    "within",
]

REALM = "lab.signalpost.test"
START_DEADLINE = 60.0
"""Seconds for coturn to answer; it takes 0.1 s, more when the machine is busy."""
LOG_DEADLINE = 30.0
"""Seconds for coturn to write what a client's last packet made it do."""
PROBE_PATIENCE = 1.0
"""Seconds for one answer; where nobody listens the kernel says so at once."""
ALLOCATE_REQUEST = bytes.fromhex("000300002112a442")
"""A TURN Allocate request without transaction id and attributes (RFC 8489, section 5): unlike
Binding it is answered whatever the configuration."""
ALLOCATE_ERROR = bytes.fromhex("0113")
CLONE_NEWNET = 0x40000000

Version = Literal["4.6.1", "4.18.0"]
VERSIONS: tuple[Version, ...] = get_args(Version)
"""This Debian's coturn, and the next one's: the version it had when these tests were written."""

_LINES = {"4.6.1": ["no-cli", "no-dtls"], "4.18.0": []}
"""What a newer version does by itself, and calls bad configuration."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """A running coturn: where it listens, the secret it verifies with, what it logged."""

    host: str
    port: int
    tls_port: int | None
    secret: str = field(repr=False)
    pid: int
    directory: Path

    def uri(self, transport: Literal["udp", "tcp", "tls"] = "udp") -> str:
        """The turn or turns URI of one listener."""
        if transport == "tls":
            if self.tls_port is None:
                raise ValueError("this coturn was started without a certificate")
            return str(IceUri("turns", self.host, self.tls_port, "tcp"))
        return str(IceUri("turn", self.host, self.port, transport))

    def credential(self, user: str = "lab", ttl: int = 600) -> Credential:
        """A fresh credential that this server accepts."""
        return mint([Secret(self.secret)], user, now=time.time(), ttl=ttl)

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def log_with(self, pattern: str, times: int) -> str:
        """The log once it has the pattern so often, or as it is when that does not happen."""
        deadline = time.monotonic() + LOG_DEADLINE
        while len(re.findall(pattern, self.log())) < times and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.log()


def own_address() -> str:
    """This machine's primary IPv4 address; coturn refuses to relay on loopback.

    Connecting a UDP socket sends nothing: it only asks the kernel for the route's source.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            require("a network interface with an IPv4 address")
        return str(probe.getsockname()[0])


def own_address6() -> str:
    """This machine's primary IPv6 address that is not link-local."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("2001:db8::1", 9))
        except OSError:
            # No default route: an address of the link is as good.
            for line in Path("/proc/net/if_inet6").read_text().splitlines():
                digits, _, _, scope, _, _ = line.split()
                if scope == "00":
                    return str(ipaddress.IPv6Address(int(digits, 16)))
            require("a network interface with an IPv6 address")
        return str(probe.getsockname()[0])


@contextlib.contextmanager
def running(
    address: str,
    *,
    lines: Sequence[str] = (),
    tls: Certificate | None = None,
    secret: str | None = None,
    auth: bool = True,
    port: int | None = None,
    tls_port: int | None = None,
    namespace: str | None = None,
    version: Version = "4.6.1",
    relay: str | None = None,
    own_peer: bool = True,
    user: int | None = None,
    ahead: int = 0,
) -> Iterator[Server]:
    """Start coturn on `address` and yield it once every listener answers.

    It relays on `relay`, by default on `address`, and takes that as a peer unless `own_peer` is
    False. `lines` are appended to the base configuration. `secret` is a random one when left out;
    `auth=False` leaves authentication to `lines` (say `no-auth`). `namespace` names the network
    namespace to run in, `user` the uid to run as, by default this process's; `ahead` sets its
    clock forward by so many seconds.
    """
    turnserver = program(version)
    if namespace is not None:
        require("ip", root=True)
    if user is not None:
        require("setpriv", root=True)
    secret = secret or secrets.token_hex(16)
    listeners = _Listeners(address, namespace)
    port = port or listeners.free_port()
    tls_port = (tls_port or listeners.free_port()) if tls else None
    with tempfile.TemporaryDirectory(prefix="signalpost-coturn-") as name:
        directory = Path(name)
        config = [
            f"listening-ip={address}",
            f"relay-ip={relay or address}",
            f"listening-port={port}",
            f"realm={REALM}",
            f"userdb={directory / 'turndb'}",
            f"pidfile={directory / 'pid'}",
            "log-file=stdout",
            *_LINES[version],
        ]
        if own_peer:
            # The machine's own address is often private, and the deny list would hold it.
            config.append(f"allowed-peer-ip={relay or address}")
        if ":" in (relay or address):
            # Browsers ask for no family, and would be refused an IPv4 relay here.
            config.append("allocation-default-address-family=keep")
        if auth:
            config += ["use-auth-secret", f"static-auth-secret={secret}"]
        if tls:
            config += [f"tls-listening-port={tls_port}", f"cert={tls.chain}", f"pkey={tls.key}"]
        else:
            config.append("no-tls")
        (directory / "turnserver.conf").write_text("\n".join([*config, *lines, ""]))
        argv = [*turnserver, "-c", str(directory / "turnserver.conf")]
        if user is not None:
            for path in (directory, directory / "turnserver.conf"):
                os.chown(path, user, user)
            argv = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *argv]
        if namespace:
            argv = ["ip", "netns", "exec", namespace, *argv]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=subprocess.STDOUT, cwd=directory, env=shifted(ahead)
            )
        server = Server(address, port, tls_port, secret, process.pid, directory)
        try:
            _wait_until_answering(process, server, listeners)
            yield server
        finally:
            process.kill()
            process.wait()


def program(version: Version) -> list[str]:
    """How to start this version. Skips the test when it is not there."""
    if version == "4.6.1":
        require("turnserver")
        return ["turnserver"]
    return unpacked(NEXT_COTURN, "bin/turnserver")


def listens(coturn: int) -> bool:
    """Whether the coturn of this pid has opened all its listeners, over UDP, TCP and TLS.

    It handles SIGUSR2 from when all its threads have met behind that. No line of its log tells:
    4.6.1 writes its last one while threads still open TCP ports, 4.18.0 writes others.
    """
    rows = Path(f"/proc/{coturn}/status").read_text().splitlines()
    caught = next(row.split()[1] for row in rows if row.startswith("SigCgt"))  # proc_pid_status(5)
    return bool(int(caught, 16) >> signal.SIGUSR2 - 1 & 1)


def _wait_until_answering(
    process: subprocess.Popen[bytes], server: Server, listeners: _Listeners
) -> None:
    pending = [
        # An answer alone is no proof: where two share a port it may be the other's.
        lambda: listens(process.pid),
        lambda: listeners.answers_udp(server.port),
    ]
    for port in (server.port, server.tls_port):
        if port is not None:
            pending.append(lambda port=port: listeners.answers_tcp(port))  # type: ignore[misc]
    deadline = time.monotonic() + START_DEADLINE
    while pending:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"coturn does not answer; its log:\n{server.log()}")
        if pending[0]():
            pending.pop(0)
        else:
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class _Listeners:
    """Sockets towards one address, made inside the namespace that has it."""

    address: str
    namespace: str | None

    @property
    def _family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET

    def _open(self, kind: socket.SocketKind) -> socket.socket:
        opened = within(self.namespace, lambda: socket.socket(self._family, kind))
        opened.settimeout(PROBE_PATIENCE)
        return opened

    def free_port(self) -> int:
        """A port free for TCP and UDP alike, as coturn takes both."""
        for port in candidates:
            with (
                self._open(socket.SOCK_STREAM) as stream,
                self._open(socket.SOCK_DGRAM) as datagram,
                contextlib.suppress(OSError),
            ):
                stream.bind((self.address, port))
                datagram.bind((self.address, port))
                return port
        raise AssertionError("a cycle has no end")

    def answers_udp(self, port: int) -> bool:
        with self._open(socket.SOCK_DGRAM) as probe:
            transaction = secrets.token_bytes(12)
            try:
                probe.connect((self.address, port))
                probe.send(ALLOCATE_REQUEST + transaction)
                answer = probe.recv(2048)
                # The kernel may have given the probe the very port it asks: it hears itself.
                return answer[:2] == ALLOCATE_ERROR and answer[8:20] == transaction
            except OSError:
                return False

    def answers_tcp(self, port: int) -> bool:
        with self._open(socket.SOCK_STREAM) as probe:
            connected = probe.connect_ex((self.address, port)) == 0
            return connected and probe.getsockname() != probe.getpeername()


def within(namespace: str | None, make: Callable[[], T]) -> T:
    """What `make` returns or raises in a network namespace.

    setns(2) moves the calling thread alone, so a thread of its own spares the test's namespace.
    """
    if namespace is None:
        return make()
    made: list[T] = []
    failed: list[BaseException] = []

    def enter() -> None:
        descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
                return
        finally:
            os.close(descriptor)
        try:
            made.append(make())
        except BaseException as error:  # raised where it was called from
            failed.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    if not made:
        raise RuntimeError(f"cannot enter network namespace {namespace}")
    return made[0]
