"""The roots that native apps trust."""

from __future__ import annotations

from turnctl.diagnosis.approots import ROOTS, known_to_apps

LETS_ENCRYPT = (
    "CN=R13,O=Let's Encrypt,C=US",
    "CN=ISRG Root X1,O=Internet Security Research Group,C=US",
)


def test_one_name_of_the_chain_is_enough() -> None:
    """A chain leads to a root if any subject or issuer is that root's name."""
    assert known_to_apps(["CN=turn.example", "CN=GTS Root R1,O=Google Trust Services LLC,C=US"])
    assert not known_to_apps(LETS_ENCRYPT)
    assert not known_to_apps([])


def test_the_list_has_the_size_that_the_docs_state() -> None:
    """docs/findings.md says how many roots the list has."""
    assert 36 == len(ROOTS)
