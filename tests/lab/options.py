"""What coturn does with a line of its configuration: start it, ask it, say what came of it.

A trial is a line, written in some way, and what its writer means by it. It runs in a network
namespace where nothing else listens. `tests.lab.trials` has the table of trials;
`python -m tests.lab.trials` runs all of them with both versions and writes docs/coturn-options.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from aioice import stun

from signalpost.credentials import Secret, password_for
from tests.lab import coturn, netns
from turnctl.host.ports import read_sockets

__all__ = ["BASE", "HOST", "OTHER", "PASSWORD", "SECRET", "Trial", "configuration", "outcome"]

HOST, OTHER = netns.SERVER, netns.SECOND_SERVER
PORT, TLS_PORT = 20478, 20443
FIRST_RANDOM = 32768
"""The kernel picks from here on for port 0."""
SECRET, USER, PASSWORD = "Zk3Yw8Qp1Lr6Tn0Vx5Ha", "alice", "correct-horse"
NO_PORT = 508
PATIENCE = 60.0
"""Seconds for coturn to start or to end; it takes 0.1 s where nothing else runs."""
REFUSES = "refuses the handshake"
TLS_PATIENCE = 10.0
"""Seconds for a handshake, which takes some milliseconds."""
TRIES, PAUSE = 20, 0.5
"""An answer comes within a millisecond; silence is believed after these, in seconds."""
AGAIN = ", again..."
"""It repeats what fails. Nothing else has its ports here, so that it would fail for ever."""
RELOADED = "TLS cipher suite"
"""Written when it has loaded a certificate, or has tried to."""
COMPLAINTS = (
    "Bad configuration format", "Unknown boolean value", "Wrong address format",
    "Cannot add a listener address", "Cannot add a relay address", "Invalid port value",
    "Aborting: invalid", "If you set the --bps-capacity option", "cannot be used together",
    "Wrong user account", "ends with semicolon", "more than once", "is deprecated", "deprecated",
    "Cannot bind", "Unknown user name", "Unknown group name", "in the same time",
    "invalid allocation_default_address_family", "did not specify the default realm",
    "TLS and DTLS listeners are disabled", "no private key found", "no certificate found",
    "key values mismatch",
)  # fmt: skip

BASE = (
    "log-file=stdout",
    "pidfile=%dir%/pid",
    "userdb=%dir%/turndb",
    f"listening-port={PORT}",
    f"listening-ip={HOST}",
    f"relay-ip={HOST}",
    "min-port=40000",
    "max-port=40019",
    "realm=turn.example.org",
    f"static-auth-secret={SECRET}",
    f"allowed-peer-ip={HOST}",
    "no-tls",
)


@dataclass(frozen=True, slots=True)
class Trial:
    """`kind` is the kind of value; `text` what stands in the file, in bytes where it is no text.
    `aspect` names the question put to coturn, `meant` the answer that the writer expects.
    `without` are options of the base that are left out, `beside` lines beside it. `advice` is the
    code that doctor gives of a line that works, as a warning at most."""

    option: str
    kind: str
    text: str | bytes
    aspect: str
    meant: str
    without: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    advice: str = ""

    @property
    def name(self) -> str:
        return f"{self.option} {self.kind}"

    @property
    def written(self) -> str:
        """As the document shows it; what does not show is written as an escape."""
        text = self.text if isinstance(self.text, str) else self.text.decode("latin-1")
        if len(text) > 200:
            text = f"{text[:24]}…{text[-24:]}"
        shown = text.encode("unicode_escape").decode().replace("\\u2026", "…").replace("|", "\\|")
        return re.sub(r" (?=$|\\n)", "·", re.sub(r" +(?=$)", lambda m: "·" * len(m[0]), shown))


def configuration(trial: Trial | None, directory: Path, files: Mapping[str, Path]) -> bytes:
    """The whole file: the base, and the trial's line at its end."""
    left_out = {trial.option, *trial.without} if trial else set()
    lines = [line for line in BASE if line.partition("=")[0] not in left_out]
    text = "\n".join([*lines, *(trial.beside if trial else ()), ""]).encode()
    if trial is not None:
        own = trial.text if isinstance(trial.text, bytes) else trial.text.encode()
        # A byte order mark stands at the very beginning of a file.
        text = own + b"\n" + text if own.startswith(b"\xef\xbb\xbf") else text + own + b"\n"
    for name, path in files.items():
        text = text.replace(f"%{name}%".encode(), str(path).encode())
    return text.replace(b"%dir%", str(directory).encode())


def outcome(
    trial: Trial, version: coturn.Version, namespace: str, files: Mapping[str, Path]
) -> tuple[str, str]:
    """What came of it, and what coturn complained of."""
    with tempfile.TemporaryDirectory(prefix="signalpost-options-") as name:
        directory = Path(name)
        path = directory / "turnserver.conf"
        path.write_bytes(configuration(trial, directory, files))
        with _started(path, version, namespace) as running:
            if isinstance(running, str):
                said = running
            else:
                # Asked from within: sockets belong to the namespace of the thread that makes them.
                said = coturn.within(namespace, lambda: ASPECTS[trial.aspect](running))
                said = f"{said}, then ends" if running.ended else said
        return said, _complaints((directory / "log").read_text(errors="replace"))


@dataclass(frozen=True, slots=True)
class Running:
    """A coturn that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None


@contextlib.contextmanager
def _started(path: Path, version: coturn.Version, namespace: str) -> Iterator[Running | str]:
    """The coturn, or how it ended."""
    quiet = ["--no-cli"] if version == "4.6.1" else []
    argv = [*coturn.program(version), "-c", str(path), *quiet]
    log = path.with_name("log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *argv],
            stdout=out, stderr=subprocess.STDOUT, cwd=path.parent,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE
        said = ""
        while process.poll() is None and not coturn.listens(process.pid) and AGAIN not in said:
            if time.monotonic() > deadline:
                raise RuntimeError(f"coturn neither starts nor ends: {said}")
            time.sleep(0.01)
            said = log.read_text(errors="replace")
        if process.poll() is not None:
            yield "does not start"
        else:
            yield "tries to bind for ever" if AGAIN in said else Running(process, log)
    finally:
        process.kill()
        process.wait()


def _complaints(log: str) -> str:
    """The kinds of complaints, each once."""
    flat = " ".join(log.split())
    said = [one for one in COMPLAINTS if one in flat]
    return "; ".join(
        one for one in said if not any(one != other and one in other for other in said)
    )


# --- what is asked


def _socket(kind: socket.SocketKind = socket.SOCK_DGRAM, port: int = PORT) -> socket.socket:
    opened = socket.socket(socket.AF_INET, kind)
    opened.settimeout(PAUSE)
    with contextlib.suppress(ConnectionRefusedError):
        opened.connect((HOST, port))
    return opened


def _ask(
    over: socket.socket, method: stun.Method, attributes: Mapping[str, object], key: bytes = b""
) -> stun.Message | None:
    """The answer over UDP, None for silence."""
    message = stun.Message(message_method=method, message_class=stun.Class.REQUEST)
    message.attributes.update(attributes)
    if key:
        message.add_message_integrity(key)
    for _ in range(TRIES):
        with contextlib.suppress(TimeoutError, ConnectionError):
            over.send(bytes(message))
            while True:
                answer = stun.parse_message(over.recv(2048))
                if answer.transaction_id == message.transaction_id:
                    return answer
        # A closed port answers at once: it may not be open yet.
        time.sleep(0.02)
    return None


UDP = {"REQUESTED-TRANSPORT": 0x11000000}


def _signed(
    over: socket.socket,
    credential: tuple[str, str],
    method: stun.Method,
    attributes: Mapping[str, object],
    challenge: stun.Message | None = None,
) -> stun.Message | None:
    """The same with credentials, for the challenge or for a new one."""
    challenge = challenge or _ask(over, stun.Method.ALLOCATE, UDP)
    if challenge is None or "NONCE" not in challenge.attributes:
        return challenge
    name, password = credential
    realm = challenge.attributes.get("REALM", "")
    key = hashlib.md5(f"{name}:{realm}:{password}".encode(), usedforsecurity=False).digest()
    told = {"USERNAME": name, "REALM": realm, "NONCE": challenge.attributes["NONCE"]}
    return _ask(over, method, {**attributes, **told}, key)


def _rest(secret: str) -> tuple[str, str]:
    name = f"{int(time.time()) + 600}:bob"
    return name, password_for(Secret(secret), name)


def _allocate(
    credential: tuple[str, str], over: socket.socket, **more: object
) -> stun.Message | None:
    return _signed(over, credential, stun.Method.ALLOCATE, {**UDP, **more})


def _granted(answer: stun.Message | None) -> bool:
    return answer is not None and answer.message_class == stun.Class.RESPONSE


def _secret(_: Running) -> str:
    """Those of many readings of the line that coturn verifies with."""
    if _anonymous():
        return "relays for everybody"
    rests = ("", " # text", '" # text', ";", " ", "#b", "\t", '"', "\r")
    tried = [f"{quote}{SECRET}{rest}" for quote in ("", '"', "'") for rest in (*rests, "'")]
    tried += ["", f"{SECRET[:10]} {SECRET[10:]}", f"#{SECRET}", f"{SECRET}ü", "L" * 1100]
    tried += ["L" * (1023 - len("static-auth-secret=")), SECRET[::-1]]
    taken = []
    for one in tried:
        with _socket() as over:
            if _granted(_allocate(_rest(one), over)):
                long = f"one of {len(one)} characters" if len(one) > 48 else repr(one)
                taken.append(long if one else "an empty secret")
    return f"takes {' and '.join(taken)}" if taken else "takes none of the secrets"


def _user(_: Running) -> str:
    """Which password the user has."""
    for name in (USER, f'"{USER}', f"'{USER}"):
        for password in (
            PASSWORD, f'{PASSWORD}"', f"{PASSWORD}'", f"{PASSWORD} # text", f"{PASSWORD};", "",
            f"#{PASSWORD}",
        ):  # fmt: skip
            with _socket() as over:
                answer = _allocate((name, password), over)
                if answer is not None and answer.error_code is None and not _anonymous():
                    return f"user {name} has the password {password!r}"
    return "relays for everybody" if _anonymous() else "knows no such user"


def _anonymous() -> bool:
    with _socket() as over:
        return _granted(_ask(over, stun.Method.ALLOCATE, UDP))


def _asks(_: Running) -> str:
    """What an Allocate without credentials gets, and one with those of the secret."""
    if _anonymous():
        return "relays for everybody"
    with _socket() as over:
        taken = _granted(_allocate(_rest(SECRET), over))
    with _socket() as over:
        static = _granted(_allocate((USER, PASSWORD), over))
    ways = [name for name, yes in (("the secret's", taken), ("the user's", static)) if yes]
    return f"takes {' and '.join(ways)} credentials" if ways else "takes no credentials"


def _realm(_: Running) -> str:
    with _socket() as over:
        answer = _ask(over, stun.Method.ALLOCATE, UDP)
    if answer is None:
        return "no answer"
    realm = answer.attributes.get("REALM")
    return f"realm {realm}" if realm else "no realm"


def _listens(running: Running) -> str:
    """Every bound port; those for relaying are not open yet."""
    seen = _bound(running)
    told = []
    for address, port in sorted({(address, port) for address, port, _ in seen}):
        protocols = "+".join(p for p in ("udp", "tcp") if (address, port, p) in seen)
        told.append(f"{address}:{port}/{protocols}" if port < FIRST_RANDOM else "random ports")
    return f"listens on {', '.join(dict.fromkeys(told))}" if told else "listens nowhere"


def _bound(running: Running) -> set[tuple[str, int, str]]:
    return {
        (one.address, one.port, protocol)
        for protocol in ("udp", "tcp")
        for one in read_sockets(
            protocol, Path(f"/proc/{running.process.pid}/net/{protocol}").read_text()
        )
        # With two addresses 4.6.1 opens the next port as well, for NAT discovery (RFC 5780).
        if one.address in {HOST, OTHER, "0.0.0.0"} and one.port != PORT + 1
    }


def _relays(running: Running) -> str:
    """Where the relayed address is."""
    with _socket() as over:
        answer = _allocate(_rest(SECRET), over)
    if answer is None:
        _until_it_answers_or_ends(running)
    if answer is None or answer.error_code == NO_PORT:
        # Silence or 508: that depends on how long it looks for a port, and that on the machine.
        return "gives no relay"
    if not _granted(answer):
        return f"refuses with {answer.error_code}"
    address, port = answer.attributes["XOR-RELAYED-ADDRESS"]
    ranges = ((40000, 40019), (49152, 65535), (1024, 65535), (0, 65535))
    low, high = next(one for one in ranges if one[0] <= port <= one[1])
    return f"relays at {address}, port {low}-{high}"


def _until_it_answers_or_ends(running: Running) -> None:
    """A coturn that crashes is silent before its process has ended; so is a busy one."""
    deadline = time.monotonic() + PATIENCE
    while not running.ended and time.monotonic() < deadline:
        with _socket() as over:
            if _ask(over, stun.Method.ALLOCATE, UDP) is not None:
                return


def _transport(_: Running) -> str:
    """Over which transports the listening port is served."""
    with _socket() as over:
        udp = _ask(over, stun.Method.ALLOCATE, UDP) is not None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as over:
        over.settimeout(1)
        tcp = over.connect_ex((HOST, PORT)) == 0
    return (
        f"serves {' and '.join(n for n, yes in (('UDP', udp), ('TCP', tcp)) if yes) or 'nothing'}"
    )


PEERS = ("10.1.2.3", "8.8.8.8")


def _peers(_: Running) -> str:
    told = []
    for peer in PEERS:
        with _socket() as over:
            credential = _rest(SECRET)
            challenge = _ask(over, stun.Method.ALLOCATE, UDP)
            if not _granted(_signed(over, credential, stun.Method.ALLOCATE, UDP, challenge)):
                return "allocates nothing"
            where = {"XOR-PEER-ADDRESS": (peer, 9)}
            answer = _signed(over, credential, stun.Method.CREATE_PERMISSION, where, challenge)
            told.append(f"{'allows' if _granted(answer) else 'denies'} {peer}")
    return ", ".join(told)


def _attribute(name: str) -> str:
    with _socket() as over:
        answer = _ask(over, stun.Method.BINDING, {})
    if answer is None:
        return "answers no Binding"
    return f"answers {'with' if name in answer.attributes else 'without'} {name}"


def _turn(_: Running) -> str:
    with _socket() as over:
        bound = _granted(_ask(over, stun.Method.BINDING, {}))
    with _socket() as over:
        allocated = _granted(_allocate(_rest(SECRET), over))
    return " and ".join(n for n, yes in (("STUN", bound), ("TURN", allocated)) if yes) or "neither"


def _lifetime(_: Running) -> str:
    with _socket() as over:
        answer = _allocate(_rest(SECRET), over, LIFETIME=3000)
    return f"lifetime {answer.attributes['LIFETIME']}" if answer and _granted(answer) else "refuses"


def _quota(_: Running) -> str:
    """How many of four allocations of one user are granted."""
    credential = _rest(SECRET)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_socket()) for _ in range(4)]
        granted = sum(_granted(_allocate(credential, over)) for over in sockets)
    return f"{granted} of 4 allocations"


def _tls(_: Running) -> str:
    """Whether the TLS port speaks a version of TLS that browsers have."""
    first = _handshake(ssl.TLSVersion.TLSv1_2)
    # One that speaks 1.3 alone refuses 1.2 at once.
    if first == "works" or (first == REFUSES and _handshake(ssl.TLSVersion.TLSv1_3) == "works"):
        return "speaks TLS"
    return f"TLS port {first}"


def _reloads(running: Running) -> str:
    """Whether it can read its files again, as after a renewal."""
    deadline = time.monotonic() + PATIENCE
    running.process.send_signal(signal.SIGUSR2)
    said = ""
    while not running.ended and RELOADED not in said and time.monotonic() < deadline:
        time.sleep(0.02)
        said = running.log.read_text(errors="replace").partition("Reloading TLS certificates")[2]
    if RELOADED not in said:
        return "says nothing of a reload"
    bad = any(word in said for word in ("ERROR", "cannot find", "not readable"))
    return "cannot reload its certificate" if bad else "reloads its certificate"


def _handshake(version: ssl.TLSVersion) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as over:
        over.settimeout(TLS_PATIENCE)
        if over.connect_ex((HOST, TLS_PORT)) != 0:
            return "is closed"
        try:
            with context.wrap_socket(over):
                return "works"
        except TimeoutError:
            return "leaves the handshake unanswered"
        except OSError:
            return REFUSES


def _runs(_: Running) -> str:
    return "runs"


ASPECTS: Mapping[str, Callable[[Running], str]] = {
    "asks": _asks,
    "fingerprint": lambda _: _attribute("FINGERPRINT"),
    "software": lambda _: _attribute("SOFTWARE"),
    "lifetime": _lifetime,
    "listens": _listens,
    "peers": _peers,
    "quota": _quota,
    "realm": _realm,
    "relays": _relays,
    "reloads": _reloads,
    "runs": _runs,
    "secret": _secret,
    "tls": _tls,
    "transport": _transport,
    "turn": _turn,
    "user": _user,
}
