"""Changes to .env, beside compose.yaml. The operator's comments, order and other values stay."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from turnctl.host import files

__all__ = ["follow_domain", "keep", "put"]

PROFILES = "${DOMAIN:+tls}"
"""compose expands this to `tls` if DOMAIN is set, and to nothing otherwise."""


def keep(path: Path, values: Mapping[str, str]) -> None:
    """Put the values into the file as its directory's owner; make the file if it doesn't exist. If
    DOMAIN is among them, the profile `tls` follows it. Raises files.Unusable."""
    mode = 0o644
    with files.owned(path.parent):
        try:
            text, mode = path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise files.Unusable(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise files.Unusable(f"{path} isn't UTF-8 text; fix it or remove it") from error
    text = put(text, values)
    files.write(path, follow_domain(text) if "DOMAIN" in values else text, mode=mode)


def put(text: str, values: Mapping[str, str]) -> str:
    """The text with these values. Each replaces the line that sets its name, or else the comment
    that shows it; otherwise it is added at the end."""
    lines = text.splitlines()
    for name, value in values.items():
        line = f"{name}={value}"
        found = _lines_of(lines, name) or _lines_of(lines, name, comment=True)[:1]
        if not found:
            lines.append(line)
            continue
        lines[found[0]] = line
        # compose uses the last of several lines.
        for double in reversed(found[1:]):
            del lines[double]
    return "\n".join(lines) + "\n"


def follow_domain(text: str) -> str:
    """The text with the profile `tls` on if DOMAIN is set. Other profiles stay. The profiles stand
    below DOMAIN, because compose expands a name only below the line that sets it.
    """
    lines = text.splitlines()
    found = _lines_of(lines, "COMPOSE_PROFILES")
    present = lines[found[-1]].partition("=")[2].strip().strip("\"'") if found else ""
    if "tls" not in present:
        profiles = f"${{DOMAIN:+tls,}}{present}" if present else PROFILES
        lines = put(text, {"COMPOSE_PROFILES": profiles}).splitlines()
    domain, found = _lines_of(lines, "DOMAIN"), _lines_of(lines, "COMPOSE_PROFILES")
    if domain and found[-1] < domain[-1]:
        lines.insert(domain[-1], lines.pop(found[-1]))
    return "\n".join(lines) + "\n"


def _lines_of(lines: list[str], name: str, *, comment: bool = False) -> list[int]:
    pattern = rf"#\s*{name}=.*" if comment else rf"\s*(export\s+)?{name}\s*=.*"
    return [number for number, line in enumerate(lines) if re.fullmatch(pattern, line)]
