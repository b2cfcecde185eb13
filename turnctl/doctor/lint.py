"""One file by itself, as a repository's gate looks at it: a turnserver.conf or a compose file.

What only the relay's own host can tell, addresses and certificates, is judged where something shows
that the file is for this host, and is said to be unknown where nothing does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from turnctl.coturn.options import NEWEST
from turnctl.coturn.parsing import Conf, parse
from turnctl.coturn.versions import Version, is_broken
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import (
    Look,
    Unseen,
    addresses,
    certificates,
    composefile,
    coturnuser,
    optionrules,
    secrets,
)
from turnctl.doctor.catalogue import found
from turnctl.doctor.looks import hinders, text_of, told
from turnctl.doctor.version import vulnerable

__all__ = ["lint"]


def lint(
    path: Path, named: Version | None, installed: Callable[[], Version | None]
) -> tuple[Look, ...]:
    """One file by itself, a turnserver.conf or a compose file. It is for the version that is
    named, else for that of its head, else the one installed here, else the newest there is a table
    of: a repository's gate has no turnserver. Raises Unseen."""
    file = secrets.read(path)
    if file is None:
        raise Unseen(f"{path}: there is no such file")
    text = text_of(str(path), file.content)
    if path.suffix in {".yaml", ".yml"}:
        return (composefile.look(str(path), text, partial(_beside, path.parent), named),)
    conf = parse(str(path), text)
    here = installed()
    version = named or conf.made_for or here
    seen = told(conf, version or NEWEST) + ("" if version else ", as no version is named")
    where = addresses.belongs(
        conf, is_running=lambda: bool(coturnuser.running(path)), is_installed=here is not None
    )
    who = None
    if certificates.wanted(conf) or any(conf.each("proc-user", "proc-group")):
        who = coturnuser.reader(conf, path)
    findings = [*_strict(conf, version or NEWEST)]
    if version and is_broken(version):
        findings.append(vulnerable(str(path), version, Severity.FAIL))
    if isinstance(who, str) and where is not addresses.Belongs.UNKNOWN:
        text = f"{who} does not exist on this host: coturn does not start"
        severity = Severity.FAIL if where is addresses.Belongs.HERE else Severity.WARN
        findings.append(found("value-invalid", severity, conf.place, text))
    made = (
        Look("configuration", seen, tuple(findings)),
        addresses.own(conf, where),
        _certificates_of(conf, where, who),
    )
    return tuple(look for look in made if look is not None)


def _beside(directory: Path, name: str) -> str | None:
    """A file that a compose file mounts, by a path relative to it."""
    try:
        file = secrets.read(directory / name)
    except Unseen:
        return None
    return None if file is None else file.content.decode(errors="backslashreplace")


def _certificates_of(
    conf: Conf, where: addresses.Belongs, who: coturnuser.Reader | str | None
) -> Look | None:
    """The certificates of a file by itself; None when it names none."""
    lines = certificates.wanted(conf)
    if not lines:
        return None
    if where is addresses.Belongs.UNKNOWN:
        paths = " and ".join(line.value for line in lines.values())
        reason = f"{paths}: nothing tells that the file is for this host; run this on the relay's"
        return Look("certificates", unknown=(reason,))
    elsewhere = addresses.ELSEWHERE if where is addresses.Belongs.MAYBE else ""
    return certificates.look(conf, _local, hinders(who), elsewhere=elsewhere)


def _local(path: str) -> secrets.File | None:
    if Path(path).is_dir():
        return secrets.File(0o755, 0, b"")  # coturn opens it, and finds nothing in it
    return secrets.read(Path(path))


def _strict(conf: Conf, version: Version) -> Iterator[Finding]:
    """Before it is used, an option that will be ignored is a mistake: somebody relies on it."""
    for one in optionrules.judge(conf, version):
        ignored = one.code == "option-dropped"
        yield dataclasses.replace(one, severity=Severity.FAIL) if ignored else one
