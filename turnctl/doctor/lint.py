"""The looks at one file on its own, as a repository's gate needs them: a turnserver.conf or a
compose file.

Addresses and certificates can only be judged on the relay's own host. They are judged if something
shows that the file is for this host, and otherwise reported as unknown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from turnctl.coturn.options import NEWEST
from turnctl.coturn.parsing import Conf, parse
from turnctl.coturn.versions import Version, is_broken
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import addresses, certificates, composefile, coturnuser, optionrules, readfile
from turnctl.doctor.addresses import Belongs
from turnctl.doctor.catalogue import found
from turnctl.doctor.configuration import describe
from turnctl.doctor.coturnuser import CoturnUser, NoSuchUser
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.readfile import File, text_of
from turnctl.doctor.subject import Installed
from turnctl.doctor.version import vulnerable

__all__ = ["lint"]


def lint(path: Path, named: Version | None, installed: Installed) -> tuple[Look, ...]:
    """The looks at a file. Its version of coturn is the named one, else the one in its header, else
    the installed one, else the newest that is known, since a repository's gate has no turnserver.
    Raises Unseen."""
    file = readfile.read(path)
    if file is None:
        raise Unseen(f"{path}: there is no such file")
    text = text_of(str(path), file.content)
    if path.suffix in {".yaml", ".yml"}:
        return (composefile.look(str(path), text, partial(_beside, path.parent), named),)
    conf = parse(str(path), text)
    here = installed()
    version = named or conf.made_for or here
    where = addresses.belongs(
        conf, is_running=lambda: bool(coturnuser.running(path)), is_installed=here is not None
    )
    user = None
    if certificates.wanted(conf) or any(conf.each("proc-user", "proc-group")):
        user = coturnuser.coturn_user(conf, path)
    looks = (
        _configuration(conf, version, where, user),
        addresses.look_at_file(conf, where),
        _certificates(conf, where, user),
    )
    return tuple(look for look in looks if look is not None)


def _configuration(
    conf: Conf, version: Version | None, where: Belongs, user: CoturnUser | NoSuchUser | None
) -> Look:
    seen = describe(conf, version or NEWEST)
    if version is None:
        seen += " (the newest, since no version is named)"
    findings = [*_strict(conf, version or NEWEST)]
    if version and is_broken(version):
        findings.append(vulnerable(conf.place, version, Severity.FAIL))
    if isinstance(user, NoSuchUser) and where is not Belongs.UNKNOWN:
        text = f"this host has no {user.setting}: coturn doesn't start"
        severity = Severity.FAIL if where is Belongs.HERE else Severity.WARN
        findings.append(found("value-invalid", severity, conf.place, text))
    return Look("configuration", seen, tuple(findings))


def _strict(conf: Conf, version: Version) -> Iterator[Finding]:
    """Before the file is used, an option that coturn will ignore is a failure: the author expects
    it to work."""
    for one in optionrules.judge(conf, version):
        ignored = one.code == "option-dropped"
        yield dataclasses.replace(one, severity=Severity.FAIL) if ignored else one


def _beside(directory: Path, name: str) -> str | None:
    """A file that a compose file mounts, by its relative path."""
    try:
        file = readfile.read(directory / name)
    except Unseen:
        return None
    return None if file is None else file.content.decode(errors="backslashreplace")


def _certificates(conf: Conf, where: Belongs, user: CoturnUser | NoSuchUser | None) -> Look | None:
    """The certificate and key that the file names; None if it names none."""
    lines = certificates.wanted(conf)
    if not lines:
        return None
    if where is Belongs.UNKNOWN:
        paths = " and ".join(line.value for line in lines.values())
        reason = f"{paths}: the file may be for another host; run doctor on the relay's own host"
        return Look("certificates", unknown=(reason,))
    elsewhere = addresses.ELSEWHERE if where is Belongs.MAYBE else ""
    return certificates.look(conf, _local, coturnuser.obstacle(user), elsewhere=elsewhere)


def _local(path: str) -> File | None:
    if Path(path).is_dir():
        return File(0o755, 0, b"")  # coturn opens a directory and finds nothing in it
    return readfile.read(Path(path))
