"""The look at the certificate and its key: whether both are set, exist, can be read by coturn's
user, and belong together. Otherwise coturn starts without TLS, and only its log says so.

`judge_options` needs only the configuration. `look` reads the files.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from turnctl.coturn.parsing import Conf, Line
from turnctl.coturn.versions import Version
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look, Unseen
from turnctl.doctor.readfile import File

__all__ = ["judge_options", "judge_pair", "look", "wanted"]

FAIL, WARN = Severity.FAIL, Severity.WARN

PORTS = ("tls-listening-port", "alt-tls-listening-port")
FILES = ("cert", "pkey")
TLS_WITHOUT_1_2 = Version(4, 7)
"""Before it, `no-tlsv1_2` leaves no TLS at all: tried with 4.6.1. 4.18.0 has TLS 1.3 left."""
KINDS = {
    "cert": (b"-----BEGIN CERTIFICATE-----", b"BEGIN TRUSTED CERTIFICATE"),
    "pkey": (b"PRIVATE KEY-----",),
}
NAMES = {"cert": "certificate", "pkey": "private key"}
SEARCHED = ("/etc", "/usr/local/etc", "/etc/turnserver")
"""Some of the directories where coturn looks for a file without a path, after its working
directory."""


def wanted(conf: Conf) -> dict[str, Line]:
    """The files that coturn is configured to use, unless TLS is off: option → its last line."""
    if conf.line_of("no-tls") is not None:
        return {}
    lines = {name: [*conf.each(name)] for name in FILES}
    return {name: found[-1] for name, found in lines.items() if found and found[-1].value}


def judge_options(conf: Conf, version: Version | None) -> Iterator[Finding]:
    """What the lines themselves show."""
    ports, off = list(conf.each(*PORTS)), conf.line_of("no-tls")
    given = [line for line in (*ports, *conf.each(*FILES)) if line.value or line in ports]
    if off is not None:
        if given:
            names = " and ".join(dict.fromkeys(line.option for line in given))
            text = f"no-tls is set as well as {names}: coturn opens no TLS port"
            yield found("tls-switched-off", WARN, conf.at(off), text)
        return
    missing = [name for name in FILES if not any(conf.values(name)[-1:])]
    if given and missing:
        reason = " and ".join(f"no {name}= ({NAMES[name]})" for name in missing)
        because = "the TLS port" if ports else given[0].option
        text = f"{because} is set, but there is {reason}: coturn starts without TLS"
        yield found("tls-certificate-missing", FAIL, conf.at(given[0]), text)
    ciphers = next(reversed([*conf.each("cipher-list")]), None)
    if ciphers and (version is None or version < TLS_WITHOUT_1_2) and not _selects(ciphers.value):
        text = "cipher-list selects no cipher: coturn refuses every TLS handshake"
        yield found("value-invalid", FAIL, conf.at(ciphers), text)
    line = conf.line_of("no-tlsv1_2")
    if line is not None and (version is None or version < TLS_WITHOUT_1_2):
        severity, of = (WARN, "before 4.7") if version is None else (FAIL, str(version))
        text = f"with no-tlsv1_2, coturn {of} completes no TLS handshake"
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
    obstacle: Callable[[str, File], str | None],
    *,
    elsewhere: str = "",
) -> Look:
    """The files themselves. `read` returns the file at a path, or None if there is none, or raises
    Unseen. `obstacle` returns what keeps coturn's user from reading it. `elsewhere` is added where
    the configuration may be for another host."""
    lines = wanted(conf)
    if not lines:
        return Look("certificates", "coturn has none: TLS ends elsewhere, or there is no TLS")
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
            findings.append(found("tls-file-missing", FAIL, conf.at(line), text + elsewhere))
        elif (bad := _unreadable(conf, line, file, obstacle)) is not None:
            findings.append(bad)
        elif not any(mark in file.content for mark in KINDS[name]):
            text = f"{name}={line.value} has no {NAMES[name]} in PEM, so TLS doesn't work"
            findings.append(found("tls-file-invalid", FAIL, conf.at(line), text))
        else:
            good[name] = file
    if len(good) == len(FILES):
        password = (conf.values("pkey-pwd") or ("",))[-1]
        findings += judge_pair(conf, lines, good["cert"].content, good["pkey"].content, password)
    paths = ", ".join(line.value for line in lines.values())
    seen = paths if len(unknown) < len(lines) else None
    return Look("certificates", seen, tuple(findings), tuple(unknown))


def _read(path: str, read: Callable[[str], File | None]) -> File | None:
    if path.startswith("/"):
        return read(path)
    for directory in SEARCHED:
        if (file := read(f"{directory}/{path}")) is not None:
            return file
    raise Unseen(f"{path} has no leading slash: coturn searches for it in its working directory")


def _unreadable(
    conf: Conf, line: Line, file: File, obstacle: Callable[[str, File], str | None]
) -> Finding | None:
    reason = obstacle(line.value, file)
    if reason is None:
        return None
    text = f"{line.option}={line.value}: {reason}"
    return found("tls-file-unreadable", FAIL, conf.at(line), text)


def judge_pair(
    conf: Conf, lines: dict[str, Line], certificate: bytes, key: bytes, password: str
) -> Iterator[Finding]:
    """Whether the key can be read, and belongs to the certificate."""
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
        text = f"pkey={lines['pkey'].value} isn't the key of cert={lines['cert'].value}"
        yield found("tls-key-mismatch", FAIL, place, text)
    elif b"ENCRYPTED" in key:
        how = "pkey-pwd is wrong" if password else "there is no pkey-pwd"
        text = f"pkey={lines['pkey'].value} is encrypted, but {how}: TLS doesn't work"
        yield found("tls-file-invalid", FAIL, place, text)
    else:
        text = f"cert={lines['cert'].value} and its key can't be loaded ({reason})"
        yield found("tls-file-invalid", FAIL, conf.at(lines["cert"]), text)
