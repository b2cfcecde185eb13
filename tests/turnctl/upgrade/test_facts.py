"""What deploy/upgrade sends, and what is kept between two steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from turnctl.upgrade.facts import Container, Host, Note, Result, dump, load, read
from turnctl.upgrade.memory import Watched


def inspected(service: str, **more: Any) -> str:
    """A line of `docker inspect`, as far as it counts."""
    document = {
        "Image": "sha256:1",
        "RestartCount": 2,
        "State": {"Status": "running", "StartedAt": "2026-11-28T00:00:00Z"},
        "HostConfig": {"NetworkMode": "host"},
        "Config": {
            "Image": "coturn/coturn:4.18.0-r0",
            "Labels": {"com.docker.compose.service": service},
        },
    }
    return json.dumps(document | more)


COTURN = Container(
    image="sha256:1",
    name="coturn/coturn:4.18.0-r0",
    running=True,
    started="2026-11-28T00:00:00Z",
    restarts=2,
)


def test_containers_image_and_what_was_heard() -> None:
    """JSON a line, then the last command with all that it printed."""
    text = f'{inspected("coturn")}\n{{"Id": "sha256:2"}}\nheard ask 0\n4.18.0\n\nheard end 7\n\n'
    assert Host({"coturn": COTURN}, "sha256:2", Result("ask", 0, "4.18.0\n\nheard end 7")) == read(
        text
    )


def test_before_the_first_command() -> None:
    """Nothing was heard, and the image may not be there."""
    assert Host({"coturn": COTURN}, None, Result()) == read(f"{inspected('coturn')}\nheard  0\n\n")


def test_a_relay_that_docker_is_about_to_start_does_not_run() -> None:
    """Docker calls it running, and restarting as well."""
    state = {"Status": "restarting", "Running": True, "StartedAt": "x"}
    host = read(inspected("coturn", State=state) + "\nheard  0\n")
    assert not host.containers["coturn"].running


def test_containers_of_a_moment_are_left_out() -> None:
    """`compose run` makes them: the one that reads this is such."""
    labels = {"com.docker.compose.service": "init", "com.docker.compose.oneoff": "True"}
    line = inspected("init", Config={"Image": "x", "Labels": labels})
    assert {} == read(f"{line}\nheard  0\n").containers


@pytest.mark.parametrize("text", ["", "no JSON\nheard  0\n", "heard ask x\n", inspected("coturn")])
def test_anything_else_is_refused(text: str) -> None:
    """With an error that the command turns into a line."""
    with pytest.raises((ValueError, KeyError)):
        read(text)


def test_a_note_is_kept() -> None:
    """All of it."""
    note = Note(
        image="sha256:2",
        version="4.18.0",
        sizes={"coturn-next": [1, 2]},
        watched={"coturn-next": Watched(base=1, lows=(2, 3))},
        draining={"coturn": "x"},
        ended=["coturn-edge"],
    )
    assert note == load(dump(note))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"watched": {}}', '{"watched": {"a": 1}}', "nul"]
)
def test_another_note_is_none(text: str) -> None:
    """One that a later version wrote, or that was cut: the world is asked first."""
    assert Note() == load(text)


def test_a_note_of_another_shape_is_none() -> None:
    """A field more."""
    document = json.loads(dump(replace(Note(), image="x")))
    assert Note() == load(json.dumps({**document, "more": 1}))
