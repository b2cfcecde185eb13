"""The certificate and its key: options in, and files that a reader returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.lab.trials import files
from turnctl.coturn.parsing import parse
from turnctl.coturn.versions import Version
from turnctl.doctor.certificates import judge_options, look, wanted
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.readfile import File

OLD, NEW = Version(4, 6, 1), Version(4, 18, 0)
BOTH = "cert=/c\npkey=/k\n"


@pytest.fixture(scope="module")
def present() -> Iterator[Mapping[str, Path]]:
    with files() as made:
        yield made


@pytest.mark.parametrize(
    ("text", "version", "expected"),
    [
        ("", OLD, []),
        (BOTH, OLD, []),
        ("cert=/c\n", OLD, ["fail tls-certificate-missing"]),
        ("tls-listening-port=5349\n", OLD, ["fail tls-certificate-missing"]),
        (f"{BOTH}no-tls\n", OLD, ["warn tls-switched-off"]),
        ("no-tls\n", OLD, []),
        (f"{BOTH}no-tlsv1_2\n", OLD, ["fail tls-version-off"]),
        (f"{BOTH}no-tlsv1_2\n", None, ["warn tls-version-off"]),
        (f"{BOTH}no-tlsv1_2\n", NEW, []),
        (f"{BOTH}cipher-list=none-at-all\n", OLD, ["fail value-invalid"]),
        (f"{BOTH}cipher-list=HIGH\n", OLD, []),
    ],
)
def test_options(text: str, version: Version | None, expected: list[str]) -> None:
    """What the lines show without reading a file."""
    found = judge_options(parse("f", text), version)
    assert expected == [f"{one.severity} {one.code}" for one in found]


def test_which_files_are_used() -> None:
    """The last line of each, and none with no-tls."""
    lines = wanted(parse("f", f"cert=/old\n{BOTH}"))
    assert {"cert": "/c", "pkey": "/k"} == {name: line.value for name, line in lines.items()}
    assert {} == wanted(parse("f", f"{BOTH}no-tls\n"))


def looked(contents: Mapping[str, bytes | None], *, obstacle: str | None = None) -> Look:
    """The look at /c and /k with these contents; None is a file that can't be seen."""

    def read(path: str) -> File | None:
        if path not in contents:
            return None
        content = contents[path]
        if content is None:
            raise Unseen(f"{path}: Permission denied")
        return File(0o600, 0, content)

    return look(parse("f", BOTH), read, lambda _path, _file: obstacle)


def codes(seen: Look) -> list[str]:
    return [one.code for one in seen.findings]


def test_files(present: Mapping[str, Path]) -> None:
    """A pair that belongs together passes, and everything else has its finding."""
    cert, key, other, encrypted = (
        present[name].read_bytes() for name in ("cert", "key", "other", "encrypted")
    )
    assert "pass" == looked({"/c": cert, "/k": key}).verdict
    assert ["tls-key-mismatch"] == codes(looked({"/c": cert, "/k": other}))
    assert ["tls-file-invalid"] == codes(looked({"/c": cert, "/k": encrypted}))
    assert ["tls-file-invalid"] * 2 == codes(looked({"/c": key, "/k": cert}))
    assert ["tls-file-missing"] == codes(looked({"/c": cert}))
    blocked = looked({"/c": cert, "/k": key}, obstacle="user x can't read it")
    assert ["tls-file-unreadable"] * 2 == codes(blocked)


def test_a_file_that_cannot_be_seen(present: Mapping[str, Path]) -> None:
    """It is unknown, and the look is skipped if both are."""
    partly = looked({"/c": present["cert"].read_bytes(), "/k": None})
    assert ("unknown", ("the private key: /k: Permission denied",)) == (
        partly.verdict,
        partly.unknown,
    )
    assert "skipped" == looked({"/c": None, "/k": None}).verdict


def test_no_certificate() -> None:
    """That is fine: TLS may end elsewhere."""
    seen = look(parse("f", ""), lambda _: None, lambda _path, _file: None)
    assert ("pass", True) == (seen.verdict, "TLS ends elsewhere" in (seen.seen or ""))


def test_a_path_without_a_slash(present: Mapping[str, Path]) -> None:
    """coturn searches some directories for it, and its working directory isn't known."""
    conf = parse("f", "cert=c\npkey=k\n")
    found = {
        "/etc/c": File(0o600, 0, present["cert"].read_bytes()),
        "/etc/turnserver/k": File(0o600, 0, present["key"].read_bytes()),
    }
    assert "pass" == look(conf, found.get, lambda _path, _file: None).verdict
    assert "skipped" == look(conf, lambda _: None, lambda _path, _file: None).verdict
