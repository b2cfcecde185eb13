"""The steps of an upgrade, on a host that is made of values: what comes next in each state, and
what holds whatever happens to relays, clients and the operator's patience.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnctl.upgrade.facts import Container, Facts, Host, Note, Result
from turnctl.upgrade.moves import HERE, HOST, Step
from turnctl.upgrade.steps import next_move

OLD, NEW = "sha256:old", "sha256:new"
NAMES = {OLD: "coturn/coturn:4.16.0-r0", NEW: "coturn/coturn:4.18.0-r0"}
PATIENCE = 7200
ENOUGH = 20_000
"""Steps; two hours of looks every two seconds are 3,600, and there are two such waits."""


@dataclass
class Relay:
    image: str
    allocations: int = 0
    started: int = 0
    restarts: int = 0
    running: bool = True
    draining: bool = False
    memory: int = 8_000_000

    def begin(self) -> None:
        self.started, self.allocations, self.draining, self.running = (
            self.started + 1,
            0,
            False,
            True,
        )


@dataclass
class World:
    """A host: its containers, what the service hands out, and what goes wrong on it."""

    versions: dict[str, str] = field(default_factory=lambda: {OLD: "4.16.0", NEW: "4.18.0"})
    edge: bool = True
    relays: dict[str, Relay] = field(default_factory=dict)
    handed_out: str = "coturn"
    env: str = OLD
    now: float = 1_000_000.0
    kept: Note = field(default_factory=Note)
    result: Result = field(default_factory=Result)
    faults: set[str] = field(default_factory=set)
    taken: list[Step] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    image: str | None = NEW
    patience: int = PATIENCE

    def __post_init__(self) -> None:
        for name in self.usual:
            self.relays.setdefault(name, Relay(OLD))

    @property
    def usual(self) -> tuple[str, ...]:
        return ("coturn", "coturn-edge") if self.edge else ("coturn",)

    def facts(self, result: Result, done: Result) -> Facts:
        containers = {
            name: Container(
                one.image, NAMES[one.image], one.running, str(one.started), one.restarts
            )
            for name, one in self.relays.items()
        }
        others = ("signal", "edge") if self.edge else ("signal",)
        containers |= {name: Container("sha256:x", "x", True, "0", 0) for name in others}
        host = Host(containers, self.image, result)
        allocations = {name: one.allocations for name, one in self.relays.items()}
        return Facts(
            self.now,
            NAMES[NEW],
            self.patience,
            host,
            self.handed_out,
            allocations,
            3479,
            self.kept,
            done,
        )

    def turn(self) -> Step:
        """One turn of the loop, up to the host's step; taken."""
        done, result = Result(), self.result
        for _ in range(30):
            move = next_move(self.facts(result, done))
            assert move.step.verb in HERE or move.step.verb in HOST
            if move.note is not None or move.over:
                self.kept = move.note or Note()
            self.said += move.says
            self.taken.append(move.step)
            if move.step.verb in HOST:
                self.result = self.run(move.step)
                return move.step
            done, result = self.do(move.step), Result()
        raise AssertionError(f"thirty steps without Docker: {self.taken[-30:]}")

    def do(self, step: Step) -> Result:
        self.now += 1
        if step.verb in self.faults:
            return Result(step.verb, 1, f"{step.verb} went wrong")
        if step.verb == "record":
            self.env = OLD if step.names == ("was",) else NEW
        if step.verb == "hand-out":
            self.handed_out = step.names[0]
        if step.verb == "prove" and not all(self._works(name) for name in step.names):
            running = all(self.relays[name].running for name in step.names)
            return Result(step.verb, 2 if running else 1, "no data")
        return Result(step.verb)

    def _works(self, name: str) -> bool:
        one = self.relays[name]
        broken = "no data" in self.faults and one.image == NEW
        usual = "no data on the usual ports" in self.faults and one.image == NEW
        return one.running and not broken and not (usual and not name.endswith("-next"))

    def run(self, step: Step) -> Result:
        self.now += 2
        text = ""
        if step.verb in self.faults:
            return Result(step.verb, 1, f"{step.verb} went wrong")
        match step.verb:
            case "pull":
                self.image = NEW
            case "version":
                text = self.versions[NEW]
            case "ask":
                text = self.versions[self.relays[step.names[0]].image]
            case "start":
                self._start(step.names)
            case "restart":
                for name in step.names:
                    self._may_end(name, step)
                    self.relays[name].begin()
            case "remove":
                for name in step.names:
                    if name in self.relays:
                        self._may_end(name, step)
                        del self.relays[name]
            case "drain":
                for name in step.names:
                    one = self.relays[name]
                    assert tuple(map(int, self.versions[one.image].split("."))) >= (4, 8), name
                    one.draining = True
            case "log":
                line = "0: : ERROR: Bad configuration format: no-cli"
                said = line if "options" in self.faults else ""
                text = "\n".join(f"== {name}\n{said}" for name in step.names)
            case "look" | "watch":
                text = "\n".join(map(self._memory, step.names))
        return Result(step.verb, 0, text)

    def _start(self, names: tuple[str, ...]) -> None:
        for name in names:
            image = NEW if name.endswith("-next") else self.env
            one = self.relays.get(name)
            if one is None:
                self.relays[name] = Relay(image)
            elif one.image != image:
                self._may_end(name, Step("start", names))
                self.relays[name] = Relay(image, started=one.started + 1)
            elif not one.running:
                one.begin()

    def _may_end(self, name: str, step: Step) -> None:
        """The rule: with calls on it only when the time is over."""
        one = self.relays[name]
        over = self.kept.until and self.now - 2 >= self.kept.until
        assert not one.allocations or not one.running or over, (step, name, one.allocations)

    def _memory(self, name: str) -> str:
        one = self.relays.get(name)
        if one is None:
            return f"== {name}"
        if "memory" in self.faults and one.image == NEW:
            one.memory += 30_000_000
        return f"== {name}\nRssAnon: {one.memory // 1024} kB\nThreads: 7"

    def settle(self) -> None:
        """What Docker does with relays whose drain is over."""
        for one in self.relays.values():
            if one.draining and not one.allocations:
                one.begin()
                one.restarts += 1

    def upgrade(self, interrupted: Iterator[bool] | None = None) -> int:
        """Until it ends; its status."""
        for _ in range(ENOUGH):
            step = self.turn()
            if step.verb == "end":
                self.result = Result()
                return step.number
            self.settle()
            if interrupted is not None and next(interrupted, False):
                self.result = Result()
        raise AssertionError(f"no end: {self.taken[-20:]} {self.said[-5:]}")

    def verbs(self) -> list[str]:
        """The steps in their order, repeated ones once."""
        return [verb for verb, _ in itertools.groupby(one.verb for one in self.taken)]


# --- the whole way ----------------------------------------------------------------------------


@pytest.mark.parametrize("edge", [True, False])
def test_the_whole_way(edge: bool) -> None:
    """The new one beside, proved, handed out; the old one emptied, replaced, proved, handed out."""
    world = World(edge=edge)
    assert 0 == world.upgrade()
    order = [
        one for one in world.verbs() if one in {"install", "start", "hand-out", "remove", "end"}
    ]
    assert [
        "install",
        "start",
        "hand-out",
        "install",
        "start",
        "hand-out",
        "remove",
        "end",
    ] == order
    assert ("coturn", NEW) == (world.handed_out, world.env)
    assert {*world.usual} == {*world.relays}
    assert {NEW} == {one.image for one in world.relays.values()}
    assert "done: coturn is coturn/coturn:4.18.0-r0, version 4.18.0" == world.said[-1]
    assert Note() == world.kept


def test_nobody_is_sent_before_the_proof_is_complete() -> None:
    """Data, options and memory come before the first client."""
    world = World()
    world.upgrade()
    before = [one.verb for one in world.taken[: [s.verb for s in world.taken].index("hand-out")]]
    assert {"prove", "log", "load", "look"} <= {*before}
    assert before.index("prove") < before.index("log") < before.index("look")


def test_again_there_is_nothing_to_do() -> None:
    """Only what `docker compose up` would do as well."""
    world = World()
    world.upgrade()
    world.taken.clear()
    assert 0 == world.upgrade()
    assert ["version", "record", "settle", "end"] == world.verbs()
    assert world.said[-1].endswith("already")


def test_an_image_that_is_not_here_is_pulled() -> None:
    """And when it cannot be, nothing happens."""
    world = World(image=None)
    assert 0 == world.upgrade()
    other = World(image=None, faults={"pull"})
    assert 3 == other.upgrade()
    assert ["pull", "end"] == other.verbs()
    assert "can't be pulled" in " ".join(other.said)


@pytest.mark.parametrize("version", ["4.17.0", "4.17.1"])
def test_a_version_with_a_fault_that_stops_clients_is_refused(version: str) -> None:
    """Before anything starts."""
    world = World(versions={OLD: "4.16.0", NEW: version})
    assert 3 == world.upgrade()
    assert ["version", "end"] == world.verbs()
    assert "TTL" in world.said[-1]


def test_from_a_refused_version_there_is_a_way() -> None:
    """The one that runs may be what nobody may upgrade to."""
    world = World(versions={OLD: "4.17.0", NEW: "4.18.0"})
    assert 0 == world.upgrade()


def test_an_image_without_coturn_is_left() -> None:
    """It says no version."""
    world = World(versions={OLD: "4.16.0", NEW: "exec: turnserver: not found"})
    assert 3 == world.upgrade()
    assert "has no coturn" in world.said[-1]


def test_another_upgrade_that_was_begun_comes_first() -> None:
    """With the way back from it."""
    world = World(edge=False)
    world.relays["coturn-next"] = Relay(OLD)
    assert 3 == world.upgrade()
    assert "has begun. Finish it first" in world.said[0]
    assert world.said[-1].endswith("rm --stop --force coturn-next")


@pytest.mark.parametrize("missing", ["signal", "coturn", "host"])
def test_what_an_upgrade_needs(missing: str) -> None:
    """A service that runs, a relay, host networking."""
    facts = World(edge=False).facts(Result(), Result())
    containers = dict(facts.host.containers)
    if missing == "host":
        containers["coturn"] = replace(containers["coturn"], host_network=False)
    else:
        del containers[missing]
    move = next_move(replace(facts, host=replace(facts.host, containers=containers)))
    assert (Step("end", number=3), None) == (move.step, move.note)


# --- a new version that does not hold ---------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no data", "it relays no data"),
        ("options", "rejects its configuration"),
        ("memory", "its memory grew"),
        ("start", "can't be started"),
        ("hand-out", "hand-out went wrong"),
    ],
)
def test_what_does_not_hold_gets_no_client(fault: str, told: str) -> None:
    """It is taken away again; the old relays were never touched, and .env is as it was."""
    world = World(faults={fault})
    for name in world.usual:
        world.relays[name].allocations = 3
    assert 1 == world.upgrade()
    assert ("coturn", OLD) == (world.handed_out, world.env)
    assert [(OLD, 3, 0)] * 2 == [(r.image, r.allocations, r.started) for r in world.relays.values()]
    assert told in " ".join(world.said)
    drained = {name for one in world.taken if one.verb == "drain" for name in one.names}
    assert set() == drained & {*world.usual}
    assert world.said[-1].startswith("coturn/coturn:4.18.0-r0 doesn't work; new clients")


def served(world: World) -> None:
    """Up to where clients are on the relay beside, with calls on both."""
    for relay in world.relays.values():
        relay.allocations = 3
    while world.turn().verb != "watch":
        pass
    assert "coturn-next" == world.handed_out
    world.relays["coturn-next"].allocations = 5


@pytest.mark.parametrize("fault", ["no data", "memory", "ends", "gone"])
def test_clients_go_back_to_relays_that_take_them(fault: str) -> None:
    """When it stops to hold with clients on it: the old relays were not told to drain yet."""
    world = World()
    served(world)
    if fault == "ends":
        world.relays["coturn-next"].begin()
        world.relays["coturn-next"].restarts += 1
    elif fault == "gone":
        world.relays["coturn-next"].running = False
    else:
        world.faults.add(fault)
    while world.handed_out != "coturn":
        assert world.turn().verb not in {"drain", "remove", "restart", "start"}
    assert [False, False] == [world.relays[name].draining for name in world.usual]
    assert [3, 3] == [world.relays[name].allocations for name in world.usual]
    if world.relays["coturn-next"].allocations and world.relays["coturn-next"].running:
        assert {"wait"} == {world.turn().verb for _ in range(20)}
        world.relays["coturn-next"].allocations = 0
    assert 1 == world.upgrade()
    assert "clients are back on the previous relay" in world.said[-1]
    assert OLD == world.env


def test_one_check_that_fails_is_made_again() -> None:
    """A busy host fails one now and then."""
    world = World()
    served(world)
    world.now += 60
    world.faults.add("prove")
    facts = world.facts(world.result, Result())
    first = next_move(facts)
    assert "prove" == first.step.verb
    assert first.note is not None
    second = next_move(
        replace(
            facts,
            note=first.note,
            host=replace(facts.host, result=Result()),
            done=Result("prove", 1, "x"),
        )
    )
    assert second.note is not None
    assert (1, "") == (second.note.failures, second.note.refused)


def test_a_relay_has_time_to_start() -> None:
    """Half a minute without an answer, and one answer that is wrong."""
    world = World(edge=False)
    while world.turn().verb != "start":
        pass
    world.relays["coturn-next"].running = False
    begun = world.now
    while world.now - begun < 20:
        assert "wait" == world.turn().verb
    world.relays["coturn-next"].running = True
    world.faults.add("no data")
    assert "wait" == world.turn().verb
    world.faults.clear()
    assert 0 == world.upgrade()


def test_memory_that_can_be_read_no_longer_does_not_hold_it_up() -> None:
    """The proof has its end."""
    world = World(edge=False)
    while world.turn().verb != "look":
        pass
    world.faults.add("look")
    assert 1 == world.upgrade()
    assert "its test didn't end within 900 s" in " ".join(world.said)


def test_an_interrupted_proof_begins_anew() -> None:
    """A day later nothing of it counts."""
    world = World(edge=False)
    while world.turn().verb != "look":
        pass
    world.now, world.result = world.now + 86_400, Result()
    world.taken.clear()
    assert 0 == world.upgrade()
    assert "prove" == world.taken[0].verb


def test_a_version_that_fails_on_the_usual_ports_is_undone() -> None:
    """Clients are on the relay beside meanwhile; the old image returns, and they to it."""
    world = World(faults={"no data on the usual ports"})
    assert 1 == world.upgrade()
    assert ("coturn", OLD) == (world.handed_out, world.env)
    assert {OLD} == {one.image for one in world.relays.values()}
    assert {*world.usual} == {*world.relays}


def test_calls_are_waited_for_and_then_cut() -> None:
    """RELAY_DRAIN is the most, for each of the two waits."""
    world = World(edge=False)
    world.relays["coturn"].allocations = 1
    begun = world.now
    assert 0 == world.upgrade()
    assert "7200 s are over; cutting the calls on coturn" in world.said
    assert PATIENCE < world.now - begun < PATIENCE + 600


def test_old_relays_are_not_told_to_drain_at_once() -> None:
    """They take clients back for half of the time, unless they are empty before."""
    world = World(edge=False)
    served(world)
    begun = world.now
    while world.turn().verb != "drain":
        pass
    assert PATIENCE / 2 - 5 <= world.now - begun < PATIENCE / 2 + 60


def test_a_relay_that_cannot_drain_is_not_told_to() -> None:
    """The signal would end it, and the calls on it. One sees when it is empty."""
    world = World(versions={OLD: "4.6.1", NEW: "4.18.0"})
    served(world)
    assert "coturn can't drain: only coturn 4.8 and later can" in world.said
    for relay in world.relays.values():
        relay.allocations = 0
    assert 0 == world.upgrade()
    assert {("coturn-next", "coturn-edge-next")} == {
        one.names for one in world.taken if one.verb == "drain"
    }


# --- whatever happens --------------------------------------------------------------------------

FAULTS = (
    "no data", "no data on the usual ports", "options", "memory", "start", "remove", "drain",
    "hand-out", "install", "record", "settle", "restart",
)  # fmt: skip
EVENTS = ("nothing", "call", "stale", "hang up", "interrupt", "relay ends", "fault", "repair")


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans(), st.sampled_from(["4.6.1", "4.16.0", "4.17.0"]))
def test_no_relay_with_calls_is_ended_and_it_always_ends(
    data: st.DataObject, edge: bool, old: str
) -> None:
    """Whatever fails and whenever it is interrupted: `_may_end` holds at each step, it comes to an
    end, and run again without a fault it leaves one version alone."""
    world = World(edge=edge, versions={OLD: old, NEW: "4.18.0"}, patience=100)
    for event in data.draw(st.lists(st.sampled_from(EVENTS), max_size=60)):
        _happen(data, world, event)
        step = world.turn()
        world.settle()
        if step.verb == "end":
            world.result = Result()
    world.faults.clear()
    for _ in range(4):
        status = world.upgrade()
        if status == 0:
            break
    assert 0 == status, world.said[-5:]
    assert {*world.usual} == {*world.relays}
    assert {NEW} == {one.image for one in world.relays.values()}
    assert ("coturn", NEW) == (world.handed_out, world.env)


def _happen(data: st.DataObject, world: World, event: str) -> None:
    names = sorted(world.relays)
    match event:
        case "call":
            handed = [world.handed_out]
            if edge := world.relays.get(world.handed_out.replace("coturn", "coturn-edge")):
                handed += [name for name, one in world.relays.items() if one is edge]
            for name in handed:
                if (one := world.relays.get(name)) and one.running and not one.draining:
                    one.allocations += 1
        case "stale":
            one = world.relays[data.draw(st.sampled_from(names))]
            if one.running and not one.draining:
                one.allocations += 1
        case "hang up":
            one = world.relays[data.draw(st.sampled_from(names))]
            one.allocations = max(0, one.allocations - 1)
        case "interrupt":
            world.result = Result()
        case "relay ends":
            one = world.relays[data.draw(st.sampled_from(names))]
            one.begin()
            one.restarts += 1
        case "fault":
            world.faults.add(data.draw(st.sampled_from(FAULTS)))
        case "repair":
            world.faults.clear()
