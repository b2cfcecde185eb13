"""The installed coturn program: which version it is."""

from __future__ import annotations

import shutil
import subprocess

from turnctl.coturn.versions import Version, parse_version

__all__ = ["NoVersion", "installed_version"]

PATIENCE = 10.0


class NoVersion(Exception):
    """The program is there, but doesn't print its version. The text says why."""


def installed_version(program: str = "turnserver") -> Version | None:
    """What `turnserver --version` prints, None if none is installed. Raises NoVersion."""
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  a fixed argument list
            [path, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE
        )
        return parse_version(done.stdout)
    except (OSError, ValueError) as error:
        raise NoVersion(f"{program} --version: {error}") from error
    except subprocess.TimeoutExpired:
        raise NoVersion(f"{program} --version: no answer in {PATIENCE:g} s") from None
