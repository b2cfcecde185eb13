"""Write the report as JUnit XML for CI systems.

Each URL and family is a test case, and so is each finding that belongs to none.
"""

from __future__ import annotations

from xml.etree import ElementTree as ET

from turnctl.diagnosis.case import Case
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.diagnosis.report import Report

__all__ = ["render"]


def render(report: Report) -> str:
    """One `testsuite`. Failing findings become failures; the others are in `system-out`."""
    suite = ET.Element("testsuite", name="turnctl check", timestamp=report.started_at[:19])
    used: set[int] = set()
    for case, verdict in report.verdicts:
        own = [f for f in report.findings if _belongs(f, case)]
        used |= set(map(id, own))
        name = f"{case.probe.url} IPv{case.probe.family}"
        _test_case(suite, name, own, verdict)
    for finding in report.findings:
        if id(finding) not in used:
            _test_case(suite, finding.url, [finding], str(finding.severity))
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("errors", "0")
    suite.set("time", f"{report.elapsed_ms / 1000:.3f}")
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _belongs(finding: Finding, case: Case) -> bool:
    return finding.url == case.probe.url and finding.family in (None, case.probe.family)


def _test_case(suite: ET.Element, name: str, findings: list[Finding], verdict: str) -> None:
    element = ET.SubElement(suite, "testcase", classname="turnctl.check", name=_legal(name))
    failing = [f for f in findings if f.severity is Severity.FAIL]
    for finding in failing:
        failure = ET.SubElement(element, "failure", type=finding.code)
        failure.set("message", _legal(finding.summary))
        failure.text = _legal(_details(finding))
    if verdict == "fail" and not failing:
        ET.SubElement(element, "failure", type="no-data", message="carries no data")
    if verdict == "skipped" and not failing:
        ET.SubElement(element, "skipped", message="no address of this family, or no route to it")
    rest = [f for f in findings if f.severity is not Severity.FAIL]
    if rest:
        out = ET.SubElement(element, "system-out")
        out.text = _legal("\n".join(f"{f.severity} {f.code}: {_details(f)}" for f in rest))


def _details(finding: Finding) -> str:
    evidence = ", ".join(f"{name}={value}" for name, value in finding.evidence.items())
    return f"{finding.summary}\n{evidence}\nfix: {finding.fix}"


def _legal(text: str) -> str:
    """The text without control characters, which XML 1.0 doesn't allow."""
    return "".join(c if c in "\t\n" or c.isprintable() else "�" for c in text)
