"""Doctor's catalogue: the code, the document and the looks tell of the same findings."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from turnctl.diagnosis.catalogue import Severity
from turnctl.doctor import catalogue
from turnctl.doctor.catalogue import FIXES, found

DOCUMENT = Path(__file__).parents[3] / "docs" / "doctor.md"
SECTION = re.compile(r"^### `([a-z0-9-]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)


def test_every_code_is_explained_in_order() -> None:
    """docs/doctor.md has one section for each code, in the catalogue's order, and no other."""
    assert list(FIXES) == [code for code, _ in SECTION.findall(DOCUMENT.read_text())]


@pytest.mark.parametrize("code", FIXES)
def test_a_section_says_what_how_and_cure(code: str) -> None:
    """Each section tells what it means, how it was seen, and how to mend it."""
    text = dict(SECTION.findall(DOCUMENT.read_text()))[code]
    assert ["Means", "Seen", "Mend"] == re.findall(r"\*\*(Means|Seen|Mend)\*\*", text)


def test_the_looks_use_every_code() -> None:
    """What the catalogue holds can be found."""
    words = {
        node.value
        for source in Path(catalogue.__file__).parent.glob("*.py")
        if source.name != "catalogue.py"
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set() == set(FIXES) - words


def test_a_fix_names_the_place_and_the_evidence() -> None:
    """What is known is filled in, and what is None is no evidence."""
    made = found("secret-file-owner", Severity.WARN, "/a", "is another's", owner=0, other=None)
    assert "Give it to the user that owns the data directory: chown 0 /a." == made.fix
    assert {"owner": 0} == made.evidence
