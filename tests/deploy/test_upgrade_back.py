"""deploy/upgrade to what does not work: clients stay on the coturn that ran before, or come back to
it, and no call ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lab.upgrades import (
    BROKEN,
    EDGE,
    HOGS,
    LEAKS,
    MUTE,
    OPTIONS,
    OTHER,
    REFUSED,
    TURN,
    TURN_NEXT,
    UDP,
    UDP_NEXT,
    Deployment,
    steady,
)  # fmt: skip


def test_nonsense_changes_nothing(upgradable: Deployment) -> None:
    """What cannot be done is said before anything is touched."""
    before = upgradable.env.read_text(), upgradable.started()
    for arguments, environment, status, text in (
        ((), {}, 2, "usage: "),
        (("--help",), {}, 2, "usage: "),
        ((OTHER, "more"), {}, 2, "usage: "),
        ((OTHER,), {"RELAY_DRAIN": "2h"}, 2, "(RELAY_DRAIN) '2h' is not a whole number of seconds"),
        ((OTHER,), {"COTURN_IMAGE": "x"}, 2, "COTURN_IMAGE or COTURN_VERSION is set in your shell"),
        (("127.0.0.1:9/coturn:1",), {}, 3, "127.0.0.1:9/coturn:1 can't be pulled"),
        (
            (upgradable.composed.images.edge,),
            {},
            3,
            "has no coturn: turnserver --version prints no version",
        ),
        ((OTHER,), {"COMPOSE_PROJECT_NAME": "nothing-here"}, 3, "the service isn't running here"),
        (("$(touch x);coturn",), {}, 2, "usage: "),
        ((REFUSED,), {}, 3, "is rejected: coturn 4.17.1 is broken"),
    ):
        run = upgradable.upgrade(*arguments, **environment)
        assert (status, True) == (run.ended(), text in run.said()), run.said()
    assert before == (upgradable.env.read_text(), upgradable.started())


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (BROKEN, "out of order"),
        (OPTIONS, "Bad configuration format: no-such-option"),
        (MUTE, "it relays no data"),
        (LEAKS, "its memory grew"),
    ],
)
def test_an_image_that_does_not_hold_gets_no_client(
    upgradable: Deployment, image: str, told: str
) -> None:
    """The new coturn is proved before anybody is sent there; what was begun is taken back, and
    calls notice nothing."""
    before, known = (upgradable.env.read_text(), upgradable.started()), upgradable.image()
    with upgradable.calls(UDP, EDGE):
        run = upgradable.upgrade(image)
        assert 1 == run.ended(), run.said()
    assert told in run.said()
    assert "doesn't work; new clients stay where they are" in run.said()
    assert "new clients are sent" not in run.said()
    assert before == (upgradable.env.read_text(), upgradable.started())
    steady(upgradable, known)


@contextlib.contextmanager
def ttl_of_one(upgradable: Deployment) -> Iterator[None]:
    """What the relay beside sends over UDP gets no farther than the first router, as that of coturn
    4.17.1; TCP is as it was."""
    chain = "type filter hook output priority mangle"
    rule = f"udp sport {TURN_NEXT} ip ttl set 1"
    server = upgradable.server
    server.nft(f"table ip ttl {{\n chain output {{\n {chain};\n {rule}\n }}\n}}\n")
    try:
        yield
    finally:
        server.nft("delete table ip ttl\n")


def test_replies_that_reach_no_client(upgradable: Deployment) -> None:
    """From the server itself the relay works in every other respect, which is the trap."""
    known = upgradable.image()
    with upgradable.calls(UDP), ttl_of_one(upgradable):
        run = upgradable.upgrade(OTHER)
        assert 1 == run.ended(), run.said()
    assert "reply-ttl-low" in run.said()
    assert "doesn't work; new clients stay where they are" in run.said()
    steady(upgradable, known)


@pytest.mark.parametrize("fault", ["memory", "ttl"])
def test_a_relay_that_stops_to_hold_gives_its_clients_back(
    upgradable: Deployment, fault: str
) -> None:
    """With clients on it: new ones go back to the old relay, which takes them, and no call ends."""
    known = upgradable.image()
    with contextlib.ExitStack() as stack:
        stack.enter_context(upgradable.calls(UDP, EDGE))
        run = upgradable.upgrade(OTHER, RELAY_DRAIN="600")
        run.wait_for("waiting for the calls on coturn")
        assert {TURN_NEXT} == upgradable.relay_ports()
        beside = upgradable.call(f"{UDP_NEXT}?transport=tcp")
        if fault == "memory":
            argv = (
                "exec",
                "-T",
                "--detach",
                "coturn-next",
                "sh",
                "-c",
                HOGS,
            )
            upgradable.project.compose(*argv)
        else:
            stack.enter_context(ttl_of_one(upgradable))
        run.wait_for("waiting for the calls on coturn-next")
        assert {TURN} == upgradable.relay_ports()
        with upgradable.calls(UDP, EDGE):
            assert beside.lives()
            assert 1 == run.ended(), run.said()
    assert f"rejecting {OTHER}: " in run.said()
    assert "new clients are back on the previous relay" in run.said()
    steady(upgradable, known)
