"""A published port, and whether it serves a relay."""

from __future__ import annotations

import pytest

from turnctl.doctor.containerdata import Published


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("0.0.0.0", 3478, True),
        ("198.51.100.7", 3478, True),
        ("::", 3478, True),
        ("0.0.0.0", 3479, False),
        ("127.0.0.1", 3478, False),
        ("::1", 3478, False),
        ("localhost", 3478, False),
    ],
)
def test_reachable(host: str, port: int, expected: bool) -> None:
    """By other hosts, and under its own number."""
    assert expected is Published(3478, "udp", host, port).reachable
