"""`turnctl edge certify`: its options, and the log that it writes."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from click.testing import CliRunner

from turnctl.commands.certify import OPTIONS, certify
from turnctl.commands.certify import _log as log
from turnctl.deployment.edge.keep import Certification


def test_every_field_has_its_option() -> None:
    """None of what the loop goes by is lost on the way."""
    assert {one.name for one in fields(Certification)} == {*OPTIONS}


def test_the_help_names_each_variable() -> None:
    """compose.yaml sets them, so that nobody types the options."""
    text = CliRunner().invoke(certify, ["--help"]).output
    for name in ("DOMAIN", "ACME_EMAIL", "ACME_DIRECTORY", "CERTIFICATE_FILE", "HTTPS_PORT"):
        assert f"env var: {name}" in " ".join(text.split())


def test_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON where nobody reads along; what is empty is left out."""
    log("certificate-served", "the edge serves the certificate", "")
    line = json.loads(capsys.readouterr().out)
    assert "certificate-served" == line.pop("event")
    assert {"time", "message"} == {*line}
