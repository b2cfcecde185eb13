""".env beside compose.yaml: setting a name in it and leaving everything else as it was.

What a person wrote there, comments and order, stays.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from turnctl.host import files

__all__ = ["follow_domain", "keep", "put"]

PROFILES = "${DOMAIN:+tls}"
"""compose reads this as `tls` while DOMAIN is set, else as nothing."""


def keep(path: Path, values: Mapping[str, str]) -> None:
    """Put the values into the file, made if need be, as the owner of its directory; with DOMAIN
    among them the profile follows. Raises files.Unusable."""
    mode = 0o644
    with files.owned(path.parent):
        try:
            text, mode = path.read_text(encoding="utf-8"), stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            text = ""
        except OSError as error:
            raise files.Unusable(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise files.Unusable(f"{path}: is not text; mend it or remove it") from error
    text = put(text, values)
    files.write(path, follow_domain(text) if "DOMAIN" in values else text, mode=mode)


def put(text: str, values: Mapping[str, str]) -> str:
    """The text with these values: in place of the line that sets a name, of the commented one that
    shows it, else at the end."""
    lines = text.splitlines()
    for name, value in values.items():
        line = f"{name}={value}"
        found = _lines_of(lines, name) or _lines_of(lines, name, comment=True)[:1]
        if not found:
            lines.append(line)
            continue
        lines[found[0]] = line
        # compose takes the last of several.
        for double in reversed(found[1:]):
            del lines[double]
    return "\n".join(lines) + "\n"


def follow_domain(text: str) -> str:
    """The text with the profile `tls` on while DOMAIN is set, and other profiles as they were."""
    lines = text.splitlines()
    found = _lines_of(lines, "COMPOSE_PROFILES")
    present = lines[found[-1]].partition("=")[2].strip().strip("\"'") if found else ""
    if "tls" in present:
        return text
    return put(text, {"COMPOSE_PROFILES": f"${{DOMAIN:+tls,}}{present}" if present else PROFILES})


def _lines_of(lines: list[str], name: str, *, comment: bool = False) -> list[int]:
    pattern = rf"#\s*{name}=.*" if comment else rf"\s*(export\s+)?{name}\s*=.*"
    return [number for number, line in enumerate(lines) if re.fullmatch(pattern, line)]
