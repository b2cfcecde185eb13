"""The fault matrix: which cause was injected how, and whether it was found as the only one.

Tests carry `@fault(code, how)`. The document is made from these marks alone, so that it can be
compared without running them: `python -m tests.lab.matrix > docs/fault-matrix.md`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from turnctl.diagnosis.catalogue import CHECK

__all__ = ["Fault", "document", "fault", "marks", "table"]

fault = pytest.mark.fault
"""fault(code, how): this test makes `code` happen by doing `how`."""

TESTS = Path(__file__).parent.parent

Fault = tuple[str, str, str]
"""Code, how it was injected, the test's file and name."""


def marks() -> Iterator[Fault]:
    """All marks in the tests' sources, in the order of the catalogue."""
    found: list[Fault] = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                where = f"{path.relative_to(TESTS)}::{node.name}"
                found += [(*words, where) for words in _faults(node)]
    order = list(CHECK)
    return iter(sorted(found, key=lambda one: order.index(one[0])))


def _faults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[tuple[str, str]]:
    for call in node.decorator_list:
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "fault"
        ):
            code, how = (ast.literal_eval(argument) for argument in call.args)
            yield code, how


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table, the first row its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def document() -> str:
    """docs/fault-matrix.md."""
    rows = [("code", "made to happen by", "test")]
    rows += [(f"`{code}`", how, f"`{where}`") for code, how, where in marks()]
    return (
        "# The fault matrix\n\n"
        "Every cause that `turnctl check` can name, how a test makes it happen, and which test. "
        "Each is found as\nthe only finding of its severity. `make test` prints the outcome, and "
        "`python -m tests.lab.matrix` writes this page.\n\n" + table(rows) + "\n"
    )


if __name__ == "__main__":
    sys.stdout.write(document())
