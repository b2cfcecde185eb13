"""coturn's versions: how they are read, and which have known holes."""

from __future__ import annotations

import pytest

from turnctl.coturn import versions
from turnctl.coturn.versions import Version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.6.1", Version(4, 6, 1)),
        ("4.18.0\n", Version(4, 18, 0)),
        ("Version Coturn-4.5.2 'dan Eider'", Version(4, 5, 2)),
        ("4.6.2-r12", Version(4, 6, 2)),
        ("4.18", Version(4, 18, 0)),
        ("Coturn-4.5.1.1 'dan Eider'", Version(4, 5, 1)),
    ],
)
def test_version_is_read(text: str, expected: Version) -> None:
    """Old and new spellings of `turnserver --version` and image tags give the version."""
    assert expected == versions.parse_version(text)


@pytest.mark.parametrize("text", ["", "latest", "4", "1.2.3.4", "socket: Protocol not supported"])
def test_no_version_is_refused(text: str) -> None:
    """A text without a version is an error that shows a valid version."""
    with pytest.raises(ValueError, match=r"4\.18\.0"):
        versions.parse_version(text)


def test_versions_compare_as_numbers() -> None:
    """4.6 is older than 4.17, although its text sorts after it, and its holes are named."""
    assert versions.is_too_old_for_public(Version(4, 6, 1))
    assert not versions.is_too_old_for_public(Version(4, 18, 0))
    assert any("CVE-2026-27624" in hole for hole in versions.holes(Version(4, 6, 1)))


@pytest.mark.parametrize(
    ("named", "before", "within", "fixed"),
    [
        ("CVE-2025-69217", Version(4, 6, 1), Version(4, 7, 0), Version(4, 8, 0)),
        ("CVE-2026-43994", None, Version(4, 9, 0), Version(4, 10, 0)),
        ("memory grows", Version(4, 9, 0), Version(4, 12, 0), Version(4, 13, 0)),
        ("CVE-2026-53450", None, Version(4, 12, 0), Version(4, 13, 0)),
        ("CVE-2026-62959", Version(4, 5, 1), Version(4, 14, 0), Version(4, 15, 0)),
        ("CVE-2026-68552", None, Version(4, 14, 0), Version(4, 15, 0)),
        ("CVE-2026-68555", Version(4, 14, 0), Version(4, 15, 0), Version(4, 16, 0)),
        ("CVE-2026-73214", None, Version(4, 15, 0), Version(4, 16, 0)),
        ("CVE-2026-73215", None, Version(4, 16, 0), Version(4, 17, 0)),
        ("TTL of 1", Version(4, 16, 0), Version(4, 17, 1), Version(4, 17, 2)),
    ],
)
def test_a_hole_has_a_first_and_a_last_version(
    named: str, before: Version | None, within: Version, fixed: Version
) -> None:
    """Each is named for the versions that have it, and for none before or after."""

    def has(version: Version) -> bool:
        return any(named in hole for hole in versions.holes(version))

    assert (True, False) == (has(within), has(fixed))
    assert before is None or not has(before)


def test_the_recommended_version_has_no_known_hole() -> None:
    """Every version before it has one, so every text may say "or later"."""
    assert () == versions.holes(versions.FIRST_SAFE)
    assert versions.refused(versions.FIRST_SAFE) is None
    before = [Version(4, minor, patch) for minor in range(18) for patch in range(3)]
    assert [] == [version for version in before if not versions.holes(version)]


@pytest.mark.parametrize("version", [Version(4, 17, 0), Version(4, 17, 1), Version(4, 17, 2)])
def test_the_line_with_the_ttl_fault_is_refused(version: Version) -> None:
    """One line names the version and the one to use. Only a broken version is called broken."""
    why = versions.refused(version)
    assert why is not None
    assert f"coturn {version} " in why
    assert "Use coturn 4.18.0 or later" in why
    assert "\n" not in why
    assert (version < Version(4, 17, 2)) is ("TTL of 1" in why) is versions.is_broken(version)


@pytest.mark.parametrize(
    "version", [Version(4, 6, 1), Version(4, 16, 0), Version(4, 18, 0), Version(5, 0, 0)]
)
def test_other_versions_are_not_refused(version: Version) -> None:
    """An old version may serve a local network."""
    assert versions.refused(version) is None
    assert not versions.is_broken(version)


def test_what_is_known_says_as_of_when() -> None:
    """The sentence has their number, the first one and the table's date. 4.18.0 has none."""
    assert f"known holes (as of {versions.KNOWN_AS_OF}), such as" in versions.describe_holes(
        Version(4, 6, 1)
    )
    assert f"has a known fault (as of {versions.KNOWN_AS_OF}): " in versions.describe_holes(
        Version(4, 17, 2)
    )
    with pytest.raises(ValueError, match="no known holes"):
        versions.describe_holes(Version(4, 18, 0))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("coturn/coturn:4.17.1-r0", Version(4, 17, 1)),
        ("coturn/coturn:4.17", Version(4, 17, 0)),
        ("registry.example.org:5000/coturn:4.18.0", Version(4, 18, 0)),
        ("coturn/coturn:4.18.0-r0@sha256:0123", Version(4, 18, 0)),
        ("coturn/coturn@sha256:4.1", None),
        ("registry.example.org:4.18/coturn", None),
        ("coturn/coturn", None),
        ("coturn/coturn:latest", None),
        ("", None),
    ],
)
def test_the_version_of_an_image(image: str, expected: Version | None) -> None:
    """The tag has it. A registry's port, a digest and a name aren't versions."""
    assert expected == versions.version_of_image(image)
