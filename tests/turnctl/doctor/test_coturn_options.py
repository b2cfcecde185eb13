"""docs/coturn-options.md has what coturn does, and doctor's findings follow from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.lab import coturn, netns
from tests.lab.options import Trial
from tests.lab.parts import require
from tests.lab.trials import DOCUMENT, TRIALS, doctors, document, files, recorded, tried, verdict

SOAK = bool(os.environ.get("SOAK"))

AGAIN = {
    "static-auth-secret double quotes", "static-auth-secret single quotes",
    "static-auth-secret blanks behind", "static-auth-secret comment behind double quotes",
    "static-auth-secret number sign inside", "static-auth-secret CRLF",
    "static-auth-secret byte order mark", "static-auth-secret longer than 1,023 bytes",
    "use-auth-secret no", "lt-cred-mech 10", "lt-cred-mech comment behind",
    "lt-cred-mech beside a secret", "lt-cred-mech beside a secret and a user",
    "no-auth no, behind the secret", "user blanks behind", "realm double quotes", "realm absent",
    "realm empty", "listening-port comment behind", "listening-port empty",
    "listening-ip double quotes", "listening-ip not this host's", "no-udp 10", "no-tcp no",
    "relay-ip not this host's", "external-ip pair in double quotes", "external-ip reversed",
    "external-ip host name", "min-port tabs behind", "min-port above max-port",
    "denied-peer-ip double quotes", "denied-peer-ip CIDR", "user-quota single quotes",
    "verbose 10", "cert missing file", "pkey of another certificate", "no-tlsv1_2 alone",
    "proc-user key for root alone, reloaded",
}  # fmt: skip
"""Tried in each run. The others are of the same kinds, and `make soak` tries them."""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A host with the trials' addresses."""
    require("turnserver", "ip", root=True)
    with netns.internet() as made:
        yield made.server.name


@pytest.fixture(scope="module")
def present() -> Iterator[Mapping[str, Path]]:
    with files() as made:
        yield made


@pytest.fixture(scope="module")
def page() -> dict[str, tuple[str, ...]]:
    return recorded(DOCUMENT.read_text())


def test_the_page_has_every_trial(page: dict[str, tuple[str, ...]]) -> None:
    """In its order, each once, and nothing else (python -m tests.lab.trials writes the page)."""
    names = [trial.name for trial in TRIALS]
    assert len(names) == len(set(names))
    assert set() == AGAIN - set(names)
    assert document(page) == DOCUMENT.read_text()


@pytest.mark.parametrize(
    "trial", [one for one in TRIALS if SOAK or one.name in AGAIN], ids=lambda one: one.name
)
def test_coturn_does_what_the_page_says(
    trial: Trial, namespace: str, present: Mapping[str, Path], page: dict[str, tuple[str, ...]]
) -> None:
    """Both versions are started with the line and tested."""
    assert page[trial.name][:2] == tried(trial, namespace, present)


def test_doctor_says_what_follows(
    namespace: str, present: Mapping[str, Path], page: dict[str, tuple[str, ...]]
) -> None:
    """There is a finding if a version doesn't do what was meant. If both do, there is only the
    advice that a trial names."""
    wrong = {}
    for trial in TRIALS:
        findings = doctors(trial, namespace, present)
        assert verdict(findings) == page[trial.name][2], trial.name
        meets = [cell.partition(" (")[0] == trial.meant for cell in page[trial.name][:2]]
        for version, well, said in zip(coturn.VERSIONS, meets, findings, strict=True):
            codes = {one.split()[1] for one in said}
            if (not well and not said) or (all(meets) and codes - {trial.advice}):
                wrong[trial.name, version] = said
        if trial.advice and all(meets):
            assert any(trial.advice in one for said in findings for one in said), trial.name
    assert {} == wrong
