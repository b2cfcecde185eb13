"""The options of `make up`: environment variables, and two flags for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from deploy.processes import Failed

__all__ = ["Engine", "Options", "parse"]

ROOT = Path(__file__).resolve().parent.parent

Engine = Literal["auto", "docker", "local"]


@dataclass(frozen=True, slots=True)
class Options:
    """`port` and `turn_port` are None if they weren't given: then the default or an edited
    signalpost.yaml decides."""

    engine: Engine = "auto"
    once: bool = False
    port: int | None = None
    turn_port: int | None = None
    root: Path = ROOT


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """Read both; a flag beats the environment. Raises Failed for a wrong value."""
    parser = argparse.ArgumentParser(
        prog="make up",
        description="Start the service and a TURN server, check them, and run until Ctrl-C.",
        epilog="Environment variables: ENGINE, ONCE=1, PORT, TURN_PORT, METRICS_PORT, EXTERNAL_IP.",
    )
    parser.add_argument("--engine", default=environment.get("ENGINE") or "auto")
    parser.add_argument(
        "--once",
        action="store_true",
        default=environment.get("ONCE", "") not in {"", "0"},
        help="stop after the check, with its exit status",
    )
    given = parser.parse_args(arguments)
    if given.engine not in {"auto", "docker", "local"}:
        raise Failed(f"ENGINE={given.engine} is not one of docker, local, auto")
    return Options(
        engine=cast(Engine, given.engine),
        once=given.once,
        port=_port("PORT", environment),
        turn_port=_port("TURN_PORT", environment),
    )


def _port(name: str, environment: Mapping[str, str]) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= 65535:
        raise Failed(f"{name}={text} is not a port from 1 to 65535")
    return int(text)
