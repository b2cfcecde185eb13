"""Certificate files of the operator's own."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path

import pytest

from tests.lab.certs import Authority
from turnctl.deployment.edge.source import OwnFiles, Unobtainable

NAME = "turn.example.org"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_change_is_due_once(authority: Authority, tmp_path: Path) -> None:
    """It is due at first, after a change, and when somebody insists; not in between."""
    issued, other = authority.issue([NAME]), authority.issue([NAME])
    own = OwnFiles(NAME, issued.chain, issued.key)
    assert own.due(None)
    first = await own.get()
    assert not own.due(first)
    shutil.copy(other.chain, issued.chain)
    shutil.copy(other.key, issued.key)
    assert own.due(first)
    second = await own.get()
    assert first.fingerprint != second.fingerprint
    assert not own.due(second)
    assert own.due(first), "the second one could not be written"
    own.insist()
    assert own.due(second)


async def test_a_replaced_link(authority: Authority, tmp_path: Path) -> None:
    """certbot's way: the name stays and leads to another file."""
    issued, other = authority.issue([NAME]), authority.issue([NAME])
    chain, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    for name, target in ((chain, issued.chain), (key, issued.key)):
        name.symlink_to(target)
    own = OwnFiles(NAME, chain, key)
    first = await own.get()
    for name, target in ((chain, other.chain), (key, other.key)):
        name.unlink()
        name.symlink_to(target)
    assert own.due(first)
    assert first.fingerprint != (await own.get()).fingerprint


async def test_what_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    """One sentence that names the file, and no second look before it changes."""
    good = authority.issue([NAME])
    days = dt.timedelta(days=-1)
    for chain, key, said in (
        (tmp_path / "none.pem", good.key, "none.pem: No such file"),
        (good.chain, tmp_path / "none.key", "none.key: No such file"),
        (good.key, good.key, "server1.key: has no PEM certificate"),
        (good.chain, good.chain, "server1.pem: has no PEM private key"),
        (authority.issue([NAME], ends=days).chain, authority.directory / "server2.key", "expired"),
        (
            authority.issue(["other.example.org"]).chain,
            authority.directory / "server3.key",
            f"server3.pem: the certificate is for other.example.org, not for {NAME}",
        ),
    ):
        own = OwnFiles(NAME, chain, key)
        with pytest.raises(Unobtainable, match=said):
            await own.get()
        assert not own.due(None)


@pytest.mark.skipif(os.geteuid() != 0, reason="lab part missing: root's rights")
async def test_a_file_of_another_user(authority: Authority) -> None:
    """A key that the command may not read is told with the user it runs as and a cure."""
    issued = authority.issue([NAME])
    issued.key.chmod(0o600)
    for folder in (authority.directory, *authority.directory.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(Unobtainable, match=r"user 65534 may not read it\. .* setfacl -m"):
            await OwnFiles(NAME, issued.chain, issued.key).get()
    finally:
        os.seteuid(0)
