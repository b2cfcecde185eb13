"""What `turnctl upgrade --next` decides by: what Docker shows on the host, what this deployment's
files and sockets show, and what was noted on the way. Pure: text in, values out.

The host's loop sends lines: `docker inspect` of each container and of the image as JSON, a line
each, then `heard VERB STATUS` and what that command printed.
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
    """`image` is the image's id, `name` what it is called in the configuration. `started` is when,
    as Docker writes it: another value means that it was started anew."""

    image: str
    name: str
    running: bool
    started: str
    restarts: int
    host_network: bool = True


@dataclass(frozen=True, slots=True)
class Result:
    """The command of the last step, as the host ran it. `verb` is empty in a run's first call."""

    verb: str = ""
    status: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Host:
    """What the loop sent. `image` is the id of the image that was asked for, None while it is not
    on this host."""

    containers: Mapping[str, Container]
    image: str | None
    result: Result


@dataclass(frozen=True, slots=True)
class Note:
    """What is kept between two steps, in a file. It belongs to the upgrade to `image`.

    The world is asked first; a note that was lost costs a repeated step and no call.
    """

    image: str = ""
    version: str = ""
    was: str = ""
    """Name of the image that ran before."""
    was_version: str = ""
    begun: float = 0.0
    """When the relays that are being proved were started, 0 while they were not."""
    refused: str = ""
    """Why the new one does not hold: from then on this upgrade goes back."""
    checked: float = 0.0
    """When data last went through it."""
    failures: int = 0
    """Checks in a row that failed."""
    read: bool = False
    """Whether its log was read, for options that it refuses."""
    sizes: dict[str, list[int]] = field(default_factory=dict)
    proved: bool = False
    sent: bool = False
    """Whether clients were sent to the new one beside, at any time."""
    watched: dict[str, Watched] = field(default_factory=dict)
    restarts: dict[str, int] = field(default_factory=dict)
    """Relay → how often Docker had restarted it when clients were sent there."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the relays whose calls are waited for: some cannot drain."""
    until: float = 0.0
    """When calls are waited for no longer, 0 while they are not."""
    told: float = 0.0
    quiet: int = 0
    """Looks in a row that saw no allocation."""
    draining: dict[str, str] = field(default_factory=dict)
    """Relay → its `started` when it was told to drain."""
    ended: list[str] = field(default_factory=list)
    replacing: bool = False
    """The old relays are empty: from here on they may be replaced."""
    placed: bool = False
    """The new version was proved on the usual ports."""
    undone: bool = False
    """.env holds the old image again."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it at one moment, `now` in Unix time. `asked` is the image's name as it was typed,
    `patience` the seconds that calls are waited for, `handed_out` the relay that the service sends
    clients to, `allocations` those that each relay has. `done` is what this call did last."""

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
        return tuple(f"{name}-next" for name in self.usual)

    @property
    def present(self) -> tuple[str, ...]:
        """Of those beside, the ones that have a container."""
        return tuple(name for name in self.beside if name in self.host.containers)

    def runs(self, name: str) -> bool:
        one = self.host.containers.get(name)
        return one is not None and one.running

    def new(self, name: str) -> bool:
        """Whether this service's container is of the image that was asked for."""
        one = self.host.containers.get(name)
        return one is not None and one.image == self.host.image

    @property
    def version(self) -> Version:
        return Version(*map(int, self.note.version.split(".")))


def read(text: str) -> Host:
    """What the loop sent. Raises ValueError."""
    containers: dict[str, Container] = {}
    image = None
    head, mark, rest = f"\n{text}".partition("\nheard ")
    if not mark:
        raise ValueError("lacks the line `heard VERB STATUS`")
    for line in filter(None, head.splitlines()):
        document = json.loads(line)
        if "State" in document:
            labels = document["Config"].get("Labels") or {}
            if labels.get(ONE_OFF) != "True" and (service := labels.get(SERVICE)):
                containers[service] = _container(document)
        else:
            image = str(document["Id"])
    first, _, said = rest.partition("\n")
    verb, _, status = first.rpartition(" ")
    return Host(containers, image, Result(verb.strip(), int(status), said.rstrip("\n")))


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
    """As it is kept in a file."""
    return json.dumps(asdict(note), indent=1) + "\n"


def load(text: str) -> Note:
    """What `dump` wrote; an empty note for anything else, since the world is asked first."""
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
