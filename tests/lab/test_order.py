"""How tests are shared among workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.order import BROWSERS, SLOWEST, arrange, group, rank

ROOT = Path(__file__).parents[2]
FILES = [str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")]


def test_browsers_are_with_one_worker() -> None:
    """All of them; each other file is a group of its own."""
    one, other = (f"{place}test_x.py" for place in BROWSERS[:2])
    assert group(one) == group(other) == group(BROWSERS[2])
    assert "tests/test_x.py" == group("tests/test_x.py")


def test_slow_files_start_first() -> None:
    """Docker's, then browsers, then the others of the table, wherever these are."""
    first, second = f"tests/a/{SLOWEST[4]}", f"tests/{SLOWEST[5]}"
    files = ["tests/test_x.py", second, first, BROWSERS[2], "tests/deploy/test_x.py"]
    assert files[::-1] == sorted(files, key=rank)


@pytest.mark.parametrize("place", SLOWEST)
def test_the_table_names_what_is_there(place: str) -> None:
    """A file that was renamed is renamed in the table too."""
    assert SLOWEST.index(place) in {rank(file) for file in FILES}


@pytest.mark.xdist_group("a group")
def test_a_mark_wins(request: pytest.FixtureRequest) -> None:
    """A test that names its group stays in it."""
    marked = request.node
    arrange([marked])
    assert ["a group"] == [mark.args[0] for mark in marked.iter_markers("xdist_group")]
