"""`turnctl edge` as it is typed."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from turnctl.commands.edge import COMMANDS, edge


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    """The command of that name, in the module of that name."""
    command = edge.get_command(click.Context(edge), name)
    assert command is not None
    assert name == command.name
    assert command.short_help


@pytest.mark.parametrize(
    ("argv", "environment", "said"),
    [
        (["certify"], {}, "no domain: give --domain, or set DOMAIN"),
        (["certify"], {"DOMAIN": ""}, "no domain: give --domain, or set DOMAIN"),
        (["certify"], {"DOMAIN": "localhost"}, "other hosts can't resolve 'localhost'"),
        (["certify", "--domain", "https://a.example"], {}, "is a URL"),
        (["certify", "--domain", "a_b.example.org"], {}, "has an underscore"),
        (["certify", "--domain", "192.0.2.1"], {}, "is an address"),
        (["certify", "--domain", "*.example.org"], {}, "is a pattern"),
        (
            ["certify", "--domain", "a.example.org", "--acme-directory", "ftp://x"],
            {},
            "the ACME directory 'ftp://x' isn't an https:// URL",
        ),
        (
            ["certify", "--domain", "a.example.org", "--certificate-key-file", "k"],
            {},
            "--certificate-key-file needs --certificate-file",
        ),
        (
            ["certify", "--domain", "a.example.org", "--acme-port", "0"],
            {},
            "a whole number from 1 to 65535",
        ),
        (["prefer"], {}, "Missing argument"),
        (["prefer", "coturn"], {}, "'coturn' is not one of 'coturn-edge', 'coturn-edge-next'"),
    ],
)
def test_wrong_usage(argv: list[str], environment: dict[str, str], said: str) -> None:
    """Status 2 and what is wrong, before anything is touched."""
    unset: dict[str, str | None] = {"DOMAIN": None, "CERTIFICATE_FILE": None}
    done = CliRunner().invoke(edge, argv, env={**unset, **environment})
    assert 2 == done.exit_code, done.output
    assert said in done.output


def test_no_edge_is_there(tmp_path: Path) -> None:
    """`prefer` without an edge: status 3 and the socket that it tried."""
    done = CliRunner().invoke(edge, ["prefer", "coturn-edge", "--socket", str(tmp_path / "none")])
    assert 3 == done.exit_code
    assert f"the edge doesn't answer: {tmp_path / 'none'}: No such file" in done.output
