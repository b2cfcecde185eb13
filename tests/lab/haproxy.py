"""HAProxy as the deployment runs it, by deploy/edge/start: this Debian's, and the next one's."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from tests.lab.parts import SYSTEM_PATH, find, require, unpacked
from tests.lab.programs import accepts, started
from tests.lab.provision import NEXT_EDGE

__all__ = ["VERSIONS", "Version", "running"]

Version = Literal["2.6.12", "3.2.26"]
VERSIONS: tuple[Version, ...] = get_args(Version)
START = Path(__file__).resolve().parents[2] / "deploy" / "edge" / "start"


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    settings: Mapping[str, str],
    version: Version = "2.6.12",
    namespace: str | None = None,
) -> Iterator[Path]:
    """Start it with these settings, ports among them; yields its log. `directory` gets the runtime
    API's socket."""
    log = directory / "haproxy.log"
    with started(
        [str(START)],
        log,
        ready=lambda: accepts("127.0.0.1", int(settings["HTTPS_PORT"]), namespace),
        namespace=namespace,
        environment={
            **settings,
            "EDGE_RUN": str(directory),
            "PATH": f"{_called_haproxy(directory, version)}{os.pathsep}{SYSTEM_PATH}",
        },
    ):
        yield log


def _called_haproxy(directory: Path, version: Version) -> Path:
    """A folder where this version goes by the name that every image has it under."""
    require("haproxy", root=True)
    argv = [str(find("haproxy"))]
    if version == "3.2.26":
        argv = unpacked(NEXT_EDGE, "sbin/haproxy")
    folder = directory / f"haproxy-{version}"
    folder.mkdir(exist_ok=True)
    program = folder / "haproxy"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(argv)} "$@"\n')
    program.chmod(0o755)
    return folder
