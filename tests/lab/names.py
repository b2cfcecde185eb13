"""Names inside a namespace: `ip netns exec` puts /etc/netns/NAME/hosts over /etc/hosts there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.lab.netns import Namespace

__all__ = ["names"]


@contextlib.contextmanager
def names(namespace: Namespace, name: str, addresses: Sequence[str]) -> Iterator[str]:
    """While the block runs the name has these addresses inside; yields the name."""
    folder = Path("/etc/netns") / namespace.name
    folder.mkdir(parents=True)
    try:
        lines = [f"{address} {name}\n" for address in addresses]
        (folder / "hosts").write_text("".join(lines))
        # Other names are refused at once: this machine's resolver is out of reach from inside.
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        yield name
    finally:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):  # somebody else's namespace still has names
            folder.parent.rmdir()
