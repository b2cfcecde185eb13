"""What can be said to `make up`."""

from __future__ import annotations

import pytest

from deploy.options import Options, parse
from deploy.processes import Failed


def test_nothing_said() -> None:
    """Without any setting the engine is chosen, and it stays in the foreground."""
    assert parse([], {}) == Options(engine="auto", once=False, port=None, turn_port=None)


def test_environment() -> None:
    """Everything can be said through the environment, as make passes it on."""
    said = {"ENGINE": "local", "ONCE": "1", "PORT": "8081", "TURN_PORT": "3479"}
    assert parse([], said) == Options(engine="local", once=True, port=8081, turn_port=3479)


def test_empty_is_unset() -> None:
    """An empty variable counts as none, and ONCE=0 as no."""
    said = {"ENGINE": "", "ONCE": "0", "PORT": "", "TURN_PORT": ""}
    assert parse([], said) == Options()


def test_flags_beat_the_environment() -> None:
    """A script's flag wins over what its environment happens to hold."""
    assert parse(["--engine", "docker", "--once"], {"ENGINE": "local"}) == Options(
        engine="docker", once=True
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENGINE", "podman"), ("PORT", "http"), ("PORT", "0"), ("TURN_PORT", "65536")],
)
def test_wrong_values_are_named(name: str, value: str) -> None:
    """The variable, what it holds and what is accepted stand in one line."""
    with pytest.raises(Failed, match=f"{name}={value} is not"):
        parse([], {name: value})
