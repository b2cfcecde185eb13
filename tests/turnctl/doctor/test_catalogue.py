"""Doctor's findings: the catalogue and the looks name the same ones."""

from __future__ import annotations

import ast
from pathlib import Path

from turnctl.diagnosis.catalogue import DOCTOR, Severity
from turnctl.doctor import catalogue
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
