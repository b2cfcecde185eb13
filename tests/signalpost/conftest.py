"""Fixtures that many tests share."""

from __future__ import annotations

import io
import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalpost import logs
from signalpost.config.settings import Log
from tests.signalpost.running import API_KEY


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as allowed: each client takes one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The stream of the log, as JSON. The loggers are restored afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level, logs.LOGGER.level
    logs.configure(Log(), stream)
    yield stream
    root.handlers[:], level, own = before
    root.setLevel(level)
    logs.LOGGER.setLevel(own)


CONFIG = f"""\
metrics: {{port: null}}
turn:
  secrets: [a-turn-secret-0123456789]
  relays: [{{host: turn.example.org}}]
auth: {{id_key: an-id-key-0123456789, api_keys: [{API_KEY}]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration file that is enough for the service."""
    path = tmp_path / "signalpost.yaml"
    path.write_text(CONFIG)
    return path
