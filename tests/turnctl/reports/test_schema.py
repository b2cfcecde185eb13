"""The JSON report and its schema say the same."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.lab import coturn
from tests.lab.certs import Authority
from tests.lab.prober import check, write_ice_servers
from tests.lab.responders import issuer
from tests.turnctl.reports.made import BROKEN, EMPTY, HEALTHY
from turnctl.diagnosis.catalogue import CHECK
from turnctl.diagnosis.report import Report
from turnctl.reports import json as json_report

SCHEMA: dict[str, Any] = json.loads(
    resources.files("turnctl.reports").joinpath("check.schema.json").read_text(encoding="utf-8")
)


def closed(schema: Any) -> Any:
    """The schema with nothing allowed that it does not name: readers shall ignore what they do
    not know, but we shall not write it.
    """
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: closed(value) for name, value in schema.items()}
    if "properties" in made and isinstance(made.get("required"), list):
        made["additionalProperties"] = False
    return made


def errors(document: Any) -> list[str]:
    validator = Draft202012Validator(
        closed(SCHEMA), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return [f"{one.json_path}: {one.message}" for one in validator.iter_errors(document)]


def test_the_schema_is_one() -> None:
    """It is a valid JSON Schema 2020-12, for the schema name that reports carry."""
    Draft202012Validator.check_schema(SCHEMA)
    assert json_report.SCHEMA == SCHEMA["properties"]["schema"]["const"]


def test_it_lists_every_code() -> None:
    """The codes are those of the catalogue."""
    assert sorted(CHECK) == SCHEMA["$defs"]["code"]["enum"]


@pytest.mark.parametrize("report", [HEALTHY, BROKEN, EMPTY], ids=["healthy", "broken", "empty"])
def test_made_reports(report: Report) -> None:
    """Reports made by hand, with every member, are as the schema says, and hold no more."""
    assert [] == errors(json.loads(json_report.render(report)))


@pytest.fixture(scope="module")
def server(own_address: str, authority: Authority) -> Iterator[coturn.Server]:
    with coturn.running(own_address, tls=authority.issue([own_address])) as running:
        yield running


@pytest.mark.parametrize("trusted", [True, False])
def test_real_reports(
    server: coturn.Server, authority: Authority, tmp_path: Path, trusted: bool
) -> None:
    """So are reports of a real server, over every transport, trusted and not."""
    urls = [server.uri("udp"), server.uri("tcp"), server.uri("tls"), f"stun:{server.host}:9"]
    path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
    ca = ["--ca", str(authority.root)] if trusted else []
    checked = check("--timeout", "1", *ca, path)
    # An address for a host: Firefox takes none over TLS.
    assert ("warn" if trusted else "fail") == checked.verdicts()[2]
    assert "fail" == checked.verdicts()[3]
    assert [] == errors(checked.report)


def test_a_report_of_an_issuer() -> None:
    """So is one in which nothing but the issuer was reached."""
    with issuer(b"{}", status=500) as url:
        checked = check(url)
    assert 1 == checked.status
    assert [] == errors(checked.report)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "good"},
        {"elapsedMs": "12"},
        {"findings": [{"code": "no-such-code"}]},
        {"schema": "signalpost.check/2"},
    ],
)
def test_it_refuses(change: dict[str, Any]) -> None:
    """What a report may not hold is refused."""
    document = copy.deepcopy(json_report.document(HEALTHY)) | change
    assert [] != errors(document)
