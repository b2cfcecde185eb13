"""How tests are shared among workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.order import GROUPS, SLOWEST, group, rank

ROOT = Path(__file__).parents[2]
FILES = [str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")]


def test_a_group_is_with_one_worker() -> None:
    """All its files. Each other file is a group of its own."""
    assert {"browsers"} == {group(f"{place}test_x.py") for place in GROUPS["browsers"][:2]}
    assert {"host"} == {group(file) for file in GROUPS["host"]}
    assert "tests/test_x.py" == group("tests/test_x.py")


def test_slow_files_start_first() -> None:
    """Upgrades, then Docker's other files, then browsers, then the others of the table."""
    files = [
        "tests/test_x.py",
        f"tests/a/{SLOWEST[-3]}",
        "tests/browser/test_x.py",
        "tests/deploy/test_x.py",
        "tests/deploy/test_upgrade_back.py",
    ]
    assert files[::-1] == sorted(files, key=rank)


@pytest.mark.parametrize(
    "place", [*SLOWEST, *(file for files in GROUPS.values() for file in files)]
)
def test_the_tables_name_what_is_there(place: str) -> None:
    """A file that was renamed is renamed in the tables too."""
    assert any(file.startswith(place) or file.endswith(f"/{place}") for file in FILES)
