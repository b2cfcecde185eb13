"""The fault matrix is whole: every cause has its injection, and the document says the same."""

from __future__ import annotations

from pathlib import Path

from tests.lab.matrix import document, marks
from turnctl.diagnosis.catalogue import CHECK


def test_every_cause_is_injected() -> None:
    """Each code of the catalogue has a test that makes it happen."""
    assert set(CHECK) == {code for code, _, _ in marks()}


def test_the_document_is_the_matrix() -> None:
    """docs/fault-matrix.md is what the marks say (python -m tests.lab.matrix makes it anew)."""
    path = Path(__file__).parent.parent / "docs" / "fault-matrix.md"
    assert document() == path.read_text()
