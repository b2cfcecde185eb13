"""Names inside a namespace: `ip netns exec` puts the files of /etc/netns/NAME over /etc there. And
names for one command outside of every namespace."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.lab.netns import Namespace
from tests.lab.parts import require

__all__ = ["hosts", "names", "resolver", "with_hosts"]


@contextlib.contextmanager
def names(namespace: Namespace, name: str, addresses: Sequence[str]) -> Iterator[str]:
    """While the block runs the name has these addresses inside; yields the name."""
    files = {
        "hosts": "".join(f"{address} {name}\n" for address in addresses),
        # Other names are refused at once: this machine's resolver is out of reach from inside.
        "resolv.conf": "nameserver 127.0.0.1\n",
    }
    with _etc(namespace, files):
        yield name


@contextlib.contextmanager
def hosts(namespace: Namespace, table: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """While the block runs each name of the table has its addresses inside."""
    lines = [f"{address} {name}" for name, addresses in table.items() for address in addresses]
    files = {"hosts": "\n".join([*lines, ""]), "resolv.conf": "nameserver 127.0.0.1\n"}
    with _etc(namespace, files):
        yield


@contextlib.contextmanager
def resolver(namespace: Namespace, address: str) -> Iterator[None]:
    """While the block runs names are asked for at this address inside, and waited for a minute."""
    with _etc(namespace, {"resolv.conf": f"nameserver {address}\noptions timeout:30 attempts:2\n"}):
        yield


def with_hosts(hosts: Path, argv: Sequence[str]) -> list[str]:
    """The command with this file as its /etc/hosts, which this machine's other programs keep."""
    require("unshare", root=True)
    script = 'mount --bind "$0" /etc/hosts && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(hosts), *argv]


@contextlib.contextmanager
def _etc(namespace: Namespace, files: Mapping[str, str]) -> Iterator[None]:
    folder = Path("/etc/netns") / namespace.name
    folder.mkdir(parents=True)
    try:
        for file, text in files.items():
            (folder / file).write_text(text)
        yield
    finally:
        # The empty /etc/netns stays: another process may be about to make its folder in it.
        shutil.rmtree(folder)
