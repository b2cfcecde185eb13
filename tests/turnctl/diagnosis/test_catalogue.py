"""The catalogue of findings: the code, both pages and the rules name the same ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from turnctl import doctor
from turnctl.diagnosis import judge, rules
from turnctl.diagnosis.catalogue import CATALOGUE, CHECK, DOCTOR, Severity, finding
from turnctl.diagnosis.icelist import Kind

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {"findings.md": CHECK, "doctor.md": DOCTOR}
SECTION = re.compile(r"^### `([a-z0-9-]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)

OF_OBSERVATIONS = {
    *("chain-incomplete", "ip-literal", "name-mismatch", "old-version", "other-user"),
    *("own-relay", "same-name"),
}
"""Words of the observations' vocabulary that look like a code."""


def sections() -> dict[str, str]:
    """Code → what the pages say about it."""
    pages = "".join((DOCS / name).read_text() for name in PAGES)
    return dict(SECTION.findall(pages))


def sources(*modules: object) -> Iterator[ast.Module]:
    """The syntax trees of a package's own folder, or of a single module."""
    for module in modules:
        path = Path(str(getattr(module, "__file__", "")))
        for source in path.parent.glob("*.py") if path.name == "__init__.py" else [path]:
            yield ast.parse(source.read_text())


@pytest.mark.parametrize("page", PAGES)
def test_every_code_has_one_section(page: str) -> None:
    """Over both pages each code is explained once, in the catalogue's order, and no other code."""
    assert list(PAGES[page]) == [code for code, _ in SECTION.findall((DOCS / page).read_text())]


def test_no_code_has_two_entries() -> None:
    """What check and doctor both find stands in one place."""
    assert set() == CHECK.keys() & DOCTOR.keys()


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_section_gives_the_severity_the_meaning_the_evidence_and_the_fix(code: str) -> None:
    """The severity is the catalogue's, word for word."""
    text = sections()[code]
    assert (
        f"**Severity**: {CATALOGUE[code]}." == text.split("**Means**")[0].replace("\n", " ").strip()
    )
    assert ["Severity", "Means", "Seen", "Fix"] == re.findall(
        r"\*\*(Severity|Means|Seen|Fix)\*\*", text
    )


@pytest.mark.parametrize("page", PAGES)
def test_links_between_the_pages_lead_to_a_section(page: str) -> None:
    """A link to a code names a code of the other page."""
    links = re.findall(r"\((findings|doctor)\.md#([a-z0-9-]+)\)", (DOCS / page).read_text())
    assert links
    assert [] == [code for name, code in links if code not in PAGES[f"{name}.md"]]


def test_the_rules_use_every_code_and_no_other() -> None:
    """What the rules can find is what the catalogue holds."""
    words = {
        node.value
        for tree in sources(judge, rules)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = {w for w in words if w in CHECK or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", w)}
    assert set(CHECK) == codes - OF_OBSERVATIONS - ({*get_args(Kind)} - {*CHECK})


def test_a_severity_in_the_code_is_one_of_the_catalogue() -> None:
    """Where a rule or a look writes code and severity beside each other, the entry has both."""
    severities = {str(one).upper(): one for one in Severity}
    written = {
        (code.value, severities[getattr(severity, "attr", getattr(severity, "id", ""))])
        for tree in sources(judge, rules, doctor)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for code, severity in zip(call.args, call.args[1:], strict=False)
        if isinstance(code, ast.Constant)
        and code.value in CATALOGUE
        and getattr(severity, "attr", getattr(severity, "id", "")) in severities
    }
    assert len(written) > len(CATALOGUE) / 2
    allowed = {
        (code, severity)
        for code, entry in CATALOGUE.items()
        for severity in (entry.severity, entry.lower[0] if entry.lower else entry.severity)
    }
    assert set() == written - allowed


@pytest.mark.parametrize("code", CHECK)
def test_a_fix_asks_for_host_and_port_alone(code: str) -> None:
    """So it can be filled in for any URL."""
    fields = {name for _, name, _, _ in Formatter().parse(CHECK[code].fix) if name}
    assert fields <= {"host", "port", "address"}


def test_the_fix_names_the_urls_host_and_port() -> None:
    """{host} and {port} are those of the URL."""
    made = finding("unreachable", Severity.FAIL, "is silent", url="turn:x:99", host="x", port=99)
    assert "x is its address. Open port 99 for udp" in made.fix


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
