"""`turnctl edge prefer` as it is typed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from click.testing import CliRunner

from turnctl.commands.prefer import prefer

STATES = b"# pxname,svname,status\nturn,coturn-edge,UP\nturn,coturn-edge-next,UP\n"


@pytest.fixture
def haproxy(tmp_path: Path) -> Callable[[list[bytes]], Path]:
    """A runtime API that gives these answers, one a connection."""

    def listen(answers: list[bytes]) -> Path:
        path = tmp_path / "admin.sock"
        listener = socket(AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with closing(listener):
                for answer in answers:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return path

    return listen


def run(server: str, path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(prefer, [server, "--socket", str(path)])
    return done.exit_code, done.output


def test_it_says_where_connections_go(haproxy: Callable[[list[bytes]], Path]) -> None:
    """Once both servers have their new state."""
    path = haproxy([STATES, b"\n", b"\n"])
    assert (0, "new connections go to coturn-edge-next\n") == run("coturn-edge-next", path)


def test_a_command_that_the_edge_rejects(haproxy: Callable[[list[bytes]], Path]) -> None:
    """With its own words."""
    status, text = run("coturn-edge", haproxy([STATES, b"Permission denied\n"]))
    assert (3, True) == (status, "the edge rejected the command: Permission denied" in text)
