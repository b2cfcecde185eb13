"""The facts that decide the next step of an upgrade: from Docker on the host, from this
deployment's files and sockets, and from the note between steps. Pure: text in, values out.

The host's loop sends `docker inspect` of each container and of the image as JSON, one line each,
then `heard VERB STATUS` and the output of that command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from turnctl.coturn.versions import Version
from turnctl.upgrade.memory import Watched

__all__ = ["Container", "Facts", "Host", "Note", "Result", "dump", "load", "read"]

SERVICE = "com.docker.compose.service"
ONE_OFF = "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class Container:
    """`image` is the image's id, `name` its name in the configuration. `started` is Docker's text
    for the time of the start: another value means that it was started again."""

    image: str
    name: str
    running: bool
    started: str
    restarts: int
    host_network: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a step: its verb, exit status and output. `verb` is empty if there was no
    step, as in a run's first call."""

    verb: str = ""
    status: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """What the loop sent: the containers by service, the id of the new image (None if this host
    doesn't have it), and the result of the host's last step."""

    containers: Mapping[str, Container]
    image: str | None
    result: Result


@dataclass(frozen=True, slots=True)
class Note:
    """What a file keeps between two steps of the upgrade to `image`.

    The facts come first: a lost note costs a repeated step, never a call.
    """

    image: str = ""
    version: str = ""
    was: str = ""
    """Name of the image that ran before."""
    was_version: str = ""
    begun: float = 0.0
    """When the relays that are being proved were started; 0 if they weren't."""
    refused: str = ""
    """Why the new version was rejected. The upgrade is then undone."""
    checked: float = 0.0
    """When data last went through the new relays."""
    failures: int = 0
    """Failed checks in a row."""
    read: bool = False
    """Whether the log was searched for options that coturn rejects."""
    sizes: dict[str, list[int]] = field(default_factory=dict)
    proved: bool = False
    sent: bool = False
    """Whether clients were ever sent to the new relay on its own port."""
    watched: dict[str, Watched] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    """Relay → its restarts by Docker when clients were sent there."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the relays whose calls are waited for: some can't drain."""
    until: float = 0.0
    """When waiting for calls ends; 0 if none are waited for."""
    told: float = 0.0
    """When the operator was last told that the wait continues."""
    quiet: int = 0
    """Looks in a row without an allocation."""
    draining: dict[str, str] = field(default_factory=dict)
    """Relay → its `started` when the drain began."""
    ended: list[str] = field(default_factory=list)
    replacing: bool = False
    """The old relays are empty and may be replaced."""
    placed: bool = False
    """The new version was proved on the usual ports."""
    undone: bool = False
    """.env holds the old image again."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts at one moment, `now` in Unix time. `asked` is the image's name as typed,
    `patience` how many seconds calls are waited for, `handed_out` the relay that the service sends
    clients to, `allocations` the number at each relay. `done` is the result of this call's last
    step."""

    now: float
    asked: str
    patience: int
    host: Host
    handed_out: str
    allocations: Mapping[str, int]
    next_port: int
    note: Note
    done: Result = Result()

    @property
    def result(self) -> Result:
        return self.host.result

    @property
    def edge(self) -> bool:
        return "edge" in self.host.containers

    @property
    def usual(self) -> tuple[str, ...]:
        """The relays on the usual ports."""
        return ("coturn", "coturn-edge") if self.edge else ("coturn",)

    @property
    def beside(self) -> tuple[str, ...]:
        """The relays that run the new version beside them, on ports of their own."""
        return tuple(f"{name}-next" for name in self.usual)

    @property
    def present(self) -> tuple[str, ...]:
        """The relays of `beside` that have a container."""
        return tuple(name for name in self.beside if name in self.host.containers)

    def runs(self, name: str) -> bool:
        one = self.host.containers.get(name)
        return one is not None and one.running

    def new(self, name: str) -> bool:
        """Whether this service's container runs the new image."""
        one = self.host.containers.get(name)
        return one is not None and one.image == self.host.image

    @property
    def version(self) -> Version:
        return Version(*map(int, self.note.version.split(".")))


def read(text: str) -> Host:
    """Parse what the loop sent. Raises ValueError, KeyError and TypeError."""
    containers: dict[str, Container] = {}
    image = None
    head, mark, rest = f"\n{text}".partition("\nheard ")
    if not mark:
        raise ValueError("the line `heard VERB STATUS` is missing")
    for line in filter(None, head.splitlines()):
        document = json.loads(line)
        if "State" in document:
            labels = document["Config"].get("Labels") or {}
            if labels.get(ONE_OFF) != "True" and (service := labels.get(SERVICE)):
                containers[service] = _container(document)
        else:
            image = str(document["Id"])
    first, _, output = rest.partition("\n")
    verb, _, status = first.rpartition(" ")
    return Host(containers, image, Result(verb.strip(), int(status), output.rstrip("\n")))


def _container(document: dict[str, Any]) -> Container:
    state = document["State"]
    return Container(
        image=document["Image"],
        name=document["Config"]["Image"],
        running=state["Status"] == "running",
        started=state["StartedAt"],
        restarts=int(document.get("RestartCount", 0)),
        host_network=document["HostConfig"].get("NetworkMode") == "host",
    )


def dump(note: Note) -> str:
    """The note as JSON text for a file."""
    return json.dumps(asdict(note), indent=1) + "\n"


def load(text: str) -> Note:
    """What `dump` wrote. An empty note for anything else: the facts come first."""
    try:
        document = json.loads(text)
        watched = {name: _watched(one) for name, one in document.pop("watched").items()}
        if {*document} != {one.name for one in fields(Note)} - {"watched"}:
            return Note()
        return Note(**document, watched=watched)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Note()


def _watched(document: dict[str, Any]) -> Watched:
    return Watched(**{**document, "lows": tuple(document["lows"])})
