"""Doctor's findings: the catalogue and the looks name the same ones."""

from __future__ import annotations

import ast
from pathlib import Path

from turnctl.diagnosis.catalogue import DOCTOR, Severity
from turnctl.doctor import Look, catalogue
from turnctl.doctor.catalogue import found


def test_the_looks_use_every_code() -> None:
    """What the catalogue holds can be found."""
    words = {
        node.value
        for source in Path(catalogue.__file__).parent.glob("*.py")
        if source.name != "catalogue.py"
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set() == set(DOCTOR) - words


def test_a_fix_names_the_place_and_the_evidence() -> None:
    """What is known is filled in, and what is None is no evidence."""
    made = found("secret-file-owner", Severity.WARN, "/a", "is another's", owner=0, other=None)
    assert "Give it to the user that owns the data directory: chown 0 /a." == made.fix
    assert {"owner": 0} == made.evidence


def test_unknown_is_never_fine() -> None:
    """A look is passed when all of it was seen, and nothing was wrong."""
    wrong = found("open-relay", Severity.FAIL, "f", "relays")
    odd = found("option-dropped", Severity.WARN, "f", "no more")
    assert "pass" == Look("a", "everything").verdict
    assert "unknown" == Look("a", "a part", unknown=("the rest",)).verdict
    assert "skipped" == Look("a", unknown=("all of it",)).verdict
    assert "warn" == Look("a", "a part", (odd,), ("the rest",)).verdict
    assert "fail" == Look("a", "a part", (odd, wrong)).verdict
