"""Which STUN servers are asked for this host's address."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from turnctl.commands.stunservers import PUBLIC, Server, chosen, options


@click.command()
@options
def command(stun: tuple[Server, ...], no_stun: bool) -> None:
    """A command with these options."""
    for host, port in chosen(stun, no_stun):
        click.echo(f"{host} {port}")


def run(*arguments: str, **environment: str | None) -> tuple[int, str]:
    done = CliRunner().invoke(
        command, arguments, env={"STUN_SERVERS": None, "NO_STUN": None, **environment}
    )
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("stun.example.org", "stun.example.org 3478"),
        ("stun.example.org:19302", "stun.example.org 19302"),
        ("stun:192.0.2.1", "192.0.2.1 3478"),
        ("[2001:db8::1]:3479", "2001:db8::1 3479"),
    ],
)
def test_a_server(given: str, server: str) -> None:
    """By name, address or URI; without a port the usual one."""
    assert (0, f"{server}\n") == run("--stun", given)


def test_several_from_the_environment() -> None:
    """As compose.yaml passes them."""
    assert (0, "a.example 3478\nb.example 1\n") == run(STUN_SERVERS="a.example b.example:1")


def test_nobody_said_which() -> None:
    """Two public ones, or none if the operator wants that."""
    status, output = run()
    assert (0, len(PUBLIC)) == (status, len(output.splitlines()))
    assert (0, "") == run("--no-stun") == run(NO_STUN="1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stun", "a b"], "not a host name"),
        (["--stun", "a.example", "--no-stun"], "exclude each other"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str) -> None:
    """Status 2, and what is wrong."""
    status, output = run(*arguments)
    assert (2, True) == (status, said in output), output
