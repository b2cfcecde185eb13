"""Certificate and key: given, there, readable for the user coturn runs as, and for one another.
coturn starts without TLS when they are not, and says so in its log alone.

`judge_options` is pure; `look` reads the files.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from turnctl.coturn.parsing import Conf, Line
from turnctl.coturn.versions import Version
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor import Look, Unseen
from turnctl.doctor.catalogue import found
from turnctl.doctor.secrets import File

__all__ = ["judge_options", "judge_pair", "look", "wanted"]

FAIL, WARN = Severity.FAIL, Severity.WARN

PORTS = ("tls-listening-port", "alt-tls-listening-port")
FILES = ("cert", "pkey")
TLS_WITHOUT_1_2 = Version(4, 7)
"""Before it `no-tlsv1_2` leaves nothing that answers: tried with 4.6.1. 4.18.0 then speaks 1.3."""
KINDS = {
    "cert": (b"-----BEGIN CERTIFICATE-----", b"BEGIN TRUSTED CERTIFICATE"),
    "pkey": (b"PRIVATE KEY-----",),
}
NAMES = {"cert": "certificate", "pkey": "private key"}
SEARCHED = ("/etc", "/usr/local/etc", "/etc/turnserver")
"""Some of the places where coturn looks for a file without a path, after its working directory."""


def wanted(conf: Conf) -> dict[str, Line]:
    """The files that coturn is told to use, unless TLS is off: option → its last line."""
    if conf.line_of("no-tls") is not None:
        return {}
    lines = {name: [*conf.each(name)] for name in FILES}
    return {name: found[-1] for name, found in lines.items() if found and found[-1].value}


def judge_options(conf: Conf, version: Version | None) -> Iterator[Finding]:
    """What the lines tell by themselves."""
    ports, off = list(conf.each(*PORTS)), conf.line_of("no-tls")
    told = [line for line in (*ports, *conf.each(*FILES)) if line.value or line in ports]
    if off is not None:
        if told:
            names = " and ".join(dict.fromkeys(line.option for line in told))
            text = f"no-tls stands beside {names}: coturn opens no TLS port"
            yield found("tls-switched-off", WARN, conf.at(off), text)
        return
    missing = [name for name in FILES if not any(conf.values(name)[-1:])]
    if told and missing:
        reason = " and ".join(f"no {name}= ({NAMES[name]})" for name in missing)
        because = "the TLS port" if ports else told[0].option
        text = f"{because} is set, and there is {reason}: coturn starts without TLS"
        yield found("tls-certificate-missing", FAIL, conf.at(told[0]), text)
    ciphers = next(reversed([*conf.each("cipher-list")]), None)
    if ciphers and (version is None or version < TLS_WITHOUT_1_2) and not _selects(ciphers.value):
        text = "cipher-list selects no cipher: coturn refuses every TLS handshake"
        yield found("value-invalid", FAIL, conf.at(ciphers), text)
    line = conf.line_of("no-tlsv1_2")
    if line is not None and (version is None or version < TLS_WITHOUT_1_2):
        severity, of = (WARN, "before 4.7") if version is None else (FAIL, str(version))
        text = f"with no-tlsv1_2 coturn {of} completes no TLS handshake at all"
        yield found("tls-version-off", severity, conf.at(line), text)


def _selects(ciphers: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(ciphers)
    except ssl.SSLError:
        return False
    return True


def look(
    conf: Conf,
    read: Callable[[str], File | None],
    hinders: Callable[[str, File], str | None],
    *,
    severity: Severity = FAIL,
    elsewhere: str = "",
) -> Look:
    """The files themselves. `read` gives a file by its path, None where there is none, or raises
    Unseen. `hinders` says what keeps coturn's user from reading it. `severity` and `elsewhere`, the
    words about another host, are for files that may be meant for one."""
    lines = wanted(conf)
    findings: list[Finding] = []
    unknown: list[str] = []
    good: dict[str, File] = {}
    for name, line in lines.items():
        try:
            file = _read(line.value, read)
        except Unseen as error:
            unknown.append(f"the {NAMES[name]}: {error}")
            continue
        if file is None:
            text = f"{name}={line.value}: there is no such file, so coturn starts without TLS"
            findings.append(found("tls-file-missing", severity, conf.at(line), text + elsewhere))
        elif (bad := _readable(conf, line, file, hinders)) is not None:
            findings.append(bad)
        elif not any(mark in file.content for mark in KINDS[name]):
            text = f"{name}={line.value}: holds no {NAMES[name]} in PEM, so TLS does not work"
            findings.append(found("tls-file-invalid", FAIL, conf.at(line), text))
        else:
            good[name] = file
    if len(good) == len(FILES):
        password = (conf.values("pkey-pwd") or ("",))[-1]
        findings += judge_pair(conf, lines, good["cert"].content, good["pkey"].content, password)
    told = ", ".join(line.value for line in lines.values())
    seen = told if len(unknown) < len(lines) else ""
    return Look("certificates", seen, tuple(findings), tuple(unknown))


def _read(path: str, read: Callable[[str], File | None]) -> File | None:
    if path.startswith("/"):
        return read(path)
    for directory in SEARCHED:
        if (file := read(f"{directory}/{path}")) is not None:
            return file
    raise Unseen(f"{path} has no leading slash: coturn searches it from its working directory")


def _readable(
    conf: Conf, line: Line, file: File, hinders: Callable[[str, File], str | None]
) -> Finding | None:
    reason = hinders(line.value, file)
    if reason is None:
        return None
    text = f"{line.option}={line.value}: {reason}"
    return found("tls-file-unreadable", FAIL, conf.at(line), text)


def judge_pair(
    conf: Conf, lines: dict[str, Line], certificate: bytes, key: bytes, password: str
) -> Iterator[Finding]:
    """Whether the key opens, and is the certificate's."""
    with tempfile.TemporaryDirectory(prefix="turnctl-") as name:
        paths = [Path(name, one) for one in FILES]
        for path, content in zip(paths, (certificate, key), strict=True):
            path.touch(mode=0o600)
            path.write_bytes(content)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                paths[0], paths[1], lambda: password
            )
            return
        except ssl.SSLError as error:
            mismatch, reason = error.reason == "KEY_VALUES_MISMATCH", error.reason or "unknown"
        except (OSError, ValueError) as error:
            mismatch, reason = False, str(error)
    place = conf.at(lines["pkey"])
    if mismatch:
        text = f"pkey={lines['pkey'].value} is not the key of cert={lines['cert'].value}"
        yield found("tls-key-mismatch", FAIL, place, text)
    elif b"ENCRYPTED" in key:
        how = "pkey-pwd does not open it" if password else "there is no pkey-pwd"
        text = f"pkey={lines['pkey'].value} is encrypted, and {how}: TLS does not work"
        yield found("tls-file-invalid", FAIL, place, text)
    else:
        text = f"cert={lines['cert'].value} and its key cannot be loaded ({reason})"
        yield found("tls-file-invalid", FAIL, conf.at(lines["cert"]), text)
