"""The catalogue of findings: the code, the document and the rules tell of the same ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from turnctl.diagnosis import judge, rules
from turnctl.diagnosis.catalogue import FIXES, Severity, finding
from turnctl.diagnosis.icelist import Kind

DOCUMENT = Path(__file__).parents[3] / "docs" / "findings.md"
SECTION = re.compile(r"^### `([a-z0-9-]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)

OF_OBSERVATIONS = {
    *("chain-incomplete", "ip-literal", "name-mismatch", "old-version", "other-user"),
    *("own-relay", "same-name"),
}
"""Words of the observations' vocabulary that look like a code."""


def sections() -> dict[str, str]:
    """Code → what docs/findings.md says of it."""
    return dict(SECTION.findall(DOCUMENT.read_text()))


def test_every_code_is_explained_in_order() -> None:
    """docs/findings.md has one section for each code, in the catalogue's order, and no other."""
    assert list(FIXES) == [code for code, _ in SECTION.findall(DOCUMENT.read_text())]


@pytest.mark.parametrize("code", FIXES)
def test_a_section_says_what_how_and_cure(code: str) -> None:
    """Each section tells what it means, how it was seen, and how to mend it."""
    text = sections()[code]
    assert ["Means", "Seen", "Mend"] == re.findall(r"\*\*(Means|Seen|Mend)\*\*", text)


def test_the_rules_use_every_code_and_no_other() -> None:
    """What the rules can find is what the catalogue holds."""
    folder = Path(rules.__file__).parent
    sources = [Path(judge.__file__), *folder.glob("*.py")]
    words = {
        node.value
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = {w for w in words if w in FIXES or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", w)}
    assert set(FIXES) == codes - OF_OBSERVATIONS - ({*get_args(Kind)} - {*FIXES})


@pytest.mark.parametrize("code", FIXES)
def test_a_fix_asks_for_host_and_port_alone(code: str) -> None:
    """Whatever the URL is, its fix can be filled in."""
    fields = {name for _, name, _, _ in Formatter().parse(FIXES[code]) if name}
    assert fields <= {"host", "port", "address"}


def test_the_fix_names_the_urls_host_and_port() -> None:
    """{host} and {port} are those of the URL."""
    made = finding("unreachable", Severity.FAIL, "is silent", url="turn:x:99", host="x", port=99)
    assert "x is its address; open port 99 over udp" in made.fix


def test_evidence_that_is_none_is_left_out() -> None:
    """A report shows what is known; zero and False are known."""
    made = finding(
        "quota-user",
        Severity.WARN,
        "refuses",
        url="turn:x",
        family=4,
        detail="",
        expires=None,
        held=0,
        referenceAnswers=False,
    )
    assert {"held": 0, "referenceAnswers": False} == made.evidence


def test_a_code_that_is_not_in_the_catalogue() -> None:
    """A finding without a fix cannot be made."""
    with pytest.raises(KeyError):
        finding("no-such-code", Severity.FAIL, "", url="")
