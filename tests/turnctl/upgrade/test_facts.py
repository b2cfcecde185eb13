"""What deploy/upgrade sends, and what is kept between two steps."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from turnctl.commands import turnctl
from turnctl.upgrade.facts import Container, Host, Note, Result, dump, load, read
from turnctl.upgrade.log import complaints, sections, tail
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


LOG = """== coturn-next
0: : ERROR: Bad configuration format: no-such-option
0: : Listener opened on : 203.0.113.1:3479
== coturn-edge-next
0: : Listener opened on : 127.0.0.1:3483
"""


def test_sections_of_what_was_printed() -> None:
    """A relay each."""
    assert ["coturn-next", "coturn-edge-next"] == [*sections(LOG)]
    assert "127.0.0.1:3483" in sections(LOG)["coturn-edge-next"]
    assert {} == sections("no section")


def test_options_that_are_not_accepted() -> None:
    """coturn runs on after them, so the log is the only place that tells."""
    (told,) = complaints(LOG)
    assert "coturn-next" in told
    assert "no-such-option" in told
    assert [] == complaints(LOG.replace("Bad configuration", "Good configuration"))


def test_the_last_lines() -> None:
    """Of each relay."""
    text = "== a\n" + "\n".join(map(str, range(100))) + "\n== b\nx"
    assert [*map(str, range(85, 100)), "x"] == tail(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["coturn/coturn:1"], "run deploy/upgrade coturn/coturn:1 on the host"),
        (["--next", "$(reboot)"], "is not an image such as"),
        (["--next", "a b"], "is not an image such as"),
        (["--next", "--drain", "2h", "x"], "RELAY_DRAIN=2h is not a number of seconds"),
        (["--next", "--drain", "", "x"], "RELAY_DRAIN= is not a number of seconds"),
    ],
)
def test_nonsense_is_wrong_usage(arguments: list[str], told: str) -> None:
    """Before anything is read."""
    done = CliRunner().invoke(turnctl, ["upgrade", *arguments])
    assert (2, True) == (done.exit_code, told in done.output), done.output


def test_what_cannot_be_read_is_said() -> None:
    """An old deploy/upgrade with a new turnctl."""
    done = CliRunner().invoke(turnctl, ["upgrade", "--next", "x"], input="something")
    assert 3 == done.exit_code
    assert "the input from deploy/upgrade can't be read" in done.output
