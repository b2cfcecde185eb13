"""How the placeholder is recognized."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tests.lab.certs import Authority
from turnctl.deployment.edge.certificate import read
from turnctl.deployment.edge.placeholder import placeholder
from turnctl.diagnosis.placeholder import ISSUER


def test_the_placeholder_alone_has_it(tmp_path: Path) -> None:
    """A certificate of a CA isn't taken for one."""
    made = placeholder("turn.example.org", dt.datetime.now(dt.UTC)).encode()
    issued = Authority(tmp_path).issue(["turn.example.org"])
    real = read(issued.chain.read_bytes(), issued.key.read_bytes())
    assert (True, False) == (read(made, made).is_placeholder, real.is_placeholder)
    assert f"CN={ISSUER}" == read(made, made).issuer
