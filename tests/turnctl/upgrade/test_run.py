"""One call of the loop: the steps without Docker, then the lines for the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnctl.host.files import Unusable
from turnctl.setup.choices import Choices
from turnctl.upgrade.run import next_lines
from turnctl.upgrade.work import Work

IMAGE = "coturn/coturn:4.18.0-r0"


def work(home: Path) -> Work:
    return Work(
        home / "data", home / ".env", 8080, 3479, home / "socket", choices_from=lambda _: Choices()
    )


def test_an_empty_host_ends_it(tmp_path: Path) -> None:
    """Nothing runs there: the operator reads what to do, and the loop ends with 3."""
    assert ["say the service isn't running here; run docker compose up -d first", "end 3"] == (
        next_lines(work(tmp_path), "heard  0\n", IMAGE, 60)
    )


@pytest.mark.parametrize("text", ["", "{}", '{"Id": 1', '{"State": {}}\nheard  0\n'])
def test_an_input_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    """An old deploy/upgrade with a new turnctl."""
    with pytest.raises(Unusable, match="the input from deploy/upgrade can't be read"):
        next_lines(work(tmp_path), text, IMAGE, 60)


def test_a_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "data").write_text("")
    with pytest.raises(Unusable, match="data"):
        next_lines(work(tmp_path), "heard  0\n", IMAGE, 60)
