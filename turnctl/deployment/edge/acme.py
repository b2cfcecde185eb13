"""Certificates from an ACME CA (RFC 8555) by HTTP-01, with lego as the client.

lego keeps its account and certificates in one folder for each CA, so that a change from a CA's
staging to its production server gets a new certificate.

CAs limit failures: Let's Encrypt allows 5 failed validations of a name in an hour, 5 equal
certificates in a week and 10 new accounts from an address in 3 hours. Hence BACKOFF, and a
certificate that lego has is used before another is requested.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from turnctl.deployment.edge.certificate import Bad, Certificate, flaw, read, renewal
from turnctl.deployment.edge.source import Clock, Unobtainable, utc_now

__all__ = ["LETS_ENCRYPT", "Acme", "Ca", "explain"]

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

BACKOFF = (2, 10, 15, 30, 60)
"""Minutes from a failure to the next try; the last value repeats. Five tries in the first hour,
then one an hour."""
WITHIN_LIMIT = datetime.timedelta(hours=1)
"""The wait after a rate limit that doesn't say when it ends."""

LEGO_PATIENCE = 300.0
"""Seconds. lego tries an unreachable CA for half a minute, and validation takes a few seconds."""


@dataclass(frozen=True, slots=True)
class Ca:
    """The CA. `root` is trusted for its own HTTPS, in place of the system's roots."""

    directory: str = LETS_ENCRYPT
    email: str | None = None
    root: Path | None = None


class Acme:
    """A CertificateSource. `home` is lego's folder; it answers challenges on 127.0.0.1:`port`."""

    def __init__(
        self,
        domain: str,
        ca: Ca,
        home: Path,
        port: int,
        *,
        program: str = "lego",
        chance: Callable[[], float] = random.random,
        clock: Clock = utc_now,
    ) -> None:
        self._domain = domain
        self._ca = ca
        self._home = home / re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(ca.directory).netloc)
        self._port = port
        self._program = program
        self._clock = clock
        # Drawn once per run: drawing again each round would renew at the earliest of all draws.
        self._chance = chance()
        self._failures = 0
        self._not_before: datetime.datetime | None = None
        self._insisted = False

    def due(self, present: Certificate | None) -> bool:
        if self._insisted:
            return True
        if self._not_before is not None and self._clock() < self._not_before:
            return False
        stored = self._stored()
        if stored is None or self._is_old(stored):
            return True
        return present is None or present.fingerprint != stored.fingerprint

    def insist(self) -> None:
        self._insisted = True

    async def get(self) -> Certificate:
        """lego's certificate, or a new one from the CA if there is none or it is old."""
        asked, self._insisted = self._insisted, False
        stored = self._stored()
        if stored is not None and not asked and not self._is_old(stored):
            return stored
        self._failures += 1
        minutes = BACKOFF[min(self._failures, len(BACKOFF)) - 1]
        self._not_before = self._clock() + datetime.timedelta(minutes=minutes)
        status, output = await self._lego("run" if stored is None else "renew")
        if status != 0 and stored is not None and UNNAMED.search(output):
            status, output = await self._lego("renew", "--ari-disable")
        if status != 0:
            words = explain(output, self._domain, self._ca.directory)
            if limit := _limited(output, self._clock()):
                self._not_before = max(self._not_before, limit)
            raise Unobtainable(f"{words} Next try at {self._not_before:%H:%M} UTC.", output)
        try:
            made = self._read()
        except (OSError, Bad) as error:
            raise Unobtainable(f"lego's certificate can't be used: {error}.", output) from error
        self._failures, self._not_before = 0, None
        return made

    def _is_old(self, certificate: Certificate) -> bool:
        return self._clock() >= renewal(certificate, self._chance)

    def _stored(self) -> Certificate | None:
        """lego's certificate for this name, if it can be used."""
        try:
            return self._read()
        except (OSError, Bad):
            return None

    def _read(self) -> Certificate:
        folder = self._home / "certificates"
        found = read(
            (folder / f"{self._domain}.crt").read_bytes(),
            (folder / f"{self._domain}.key").read_bytes(),
        )
        if wrong := flaw(found, self._domain, self._clock()):
            raise Bad(f"it {wrong}")
        return found

    async def _lego(self, *command: str) -> tuple[int, str]:
        """Run lego; its exit status and output. Cancelling ends it."""
        argv = [
            *("--path", str(self._home), "--server", self._ca.directory, "--accept-tos"),
            *("--domains", self._domain, "--http", "--http.port", f"127.0.0.1:{self._port}"),
            *(("--email", self._ca.email) if self._ca.email else ()),
            *command,
        ]
        if command[0] == "renew":
            # This module decides when to renew: lego takes any age and doesn't sleep first.
            argv += ["--days", "36500", "--no-random-sleep"]
        environment = dict(os.environ)
        if self._ca.root is not None:
            environment["LEGO_CA_CERTIFICATES"] = str(self._ca.root)
        try:
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
            process = await asyncio.create_subprocess_exec(
                self._program,
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=environment,
                umask=0o077,  # lego would make the account's key readable for everybody
            )
        except OSError as error:
            raise Unobtainable(f"{error.filename or self._program}: {error.strerror}.") from error
        try:
            async with asyncio.timeout(LEGO_PATIENCE):
                output, _ = await process.communicate()
        except TimeoutError:
            return 1, f"giving up after {LEGO_PATIENCE:.0f} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode(errors="replace")


UNNAMED = re.compile(r"acme:error:(?:serverInternal|badNonce|alreadyReplaced|conflict)\b")
"""After these errors the order is made again without the certificate that it replaces (RFC 9773,
section 5), which may have caused them. lego repeats an order unchanged after a server error, and
reports the nonce that was used up by then; pebble fails like that for some serial numbers."""

LIMITED = re.compile(r"rateLimited.*?retry after (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)", re.DOTALL)


def _limited(output: str, now: datetime.datetime) -> datetime.datetime | None:
    """When a rate limit ends, as Let's Encrypt words it."""
    if "acme:error:rateLimited" not in output:
        return None
    if found := LIMITED.search(output):
        return datetime.datetime.fromisoformat(found[1]).replace(tzinfo=datetime.UTC)
    return now + WITHIN_LIMIT


_NO_NAME = (
    "The CA can't resolve the name {domain}: create an A record (and AAAA, if this host has IPv6) "
    "that points to this host, or correct DOMAIN."
)
_PORT_80 = (
    "The CA can't reach {domain} on port 80: open 80/tcp in the firewall and the cloud security "
    "group, and make sure that every A and AAAA record of the name points to this host."
)
_DIRECTORY = "The CA's directory {directory} "

_CAUSES = (
    # RFC 8555, section 6.7, in the order in which one explains the other.
    (r"error:rateLimited", "The CA rejects requests for now, because there were too many: {said}"),
    (
        r"error:caa\b|CAA record",
        "A CAA record of {domain} doesn't allow this CA: add one that names it, or remove the "
        "record.",
    ),
    (
        # CAs other than Let's Encrypt repeat the text of Go's resolver.
        r"error:dns|could not resolve URL|DNS problem|NXDOMAIN|error:connection[^\n]* lookup ",
        _NO_NAME,
    ),
    (r"error:connection|error:tls", _PORT_80),
    (
        r"error:unauthorized.*(?:Non-200|Invalid response|key authorization|challenge)",
        "Another server answers on port 80 of {domain}: {said} Make sure that every A and AAAA "
        "record "
        "points to this host, and that no CDN or other web server is in front of it.",
    ),
    (
        r"error:(?:invalidContact|unsupportedContact)",
        "The CA rejects the address in ACME_EMAIL: {said}",
    ),
    (
        r"error:externalAccountRequired",
        "The CA needs an existing account (external account binding): set LEGO_EAB=true, "
        "LEGO_EAB_KID and LEGO_EAB_HMAC for the service acme.",
    ),
    (
        r"error:(?:accountDoesNotExist|userActionRequired)|error:unauthorized",
        "The CA rejects the account in the volume acme: {said} Remove that volume to get a new "
        "account.",
    ),
    (
        r"error:(?:rejectedIdentifier|unsupportedIdentifier)",
        "The CA issues no certificate for {domain}: {said}",
    ),
    (r"error:malformed", "The CA doesn't understand the request for {domain}: {said}"),
    (r"urn:ietf:params:acme:error:", "The CA rejects the request: {said}"),
    (
        r"could not start HTTP server.*address already in use",
        "The port ACME_PORT on 127.0.0.1 is in use: free it, or set ACME_PORT to another one.",
    ),
    (
        r"unknown authority|cannot validate certificate|failed to verify certificate",
        _DIRECTORY + "has a certificate that isn't trusted: give its root with ACME_CA_FILE.",
    ),
    (
        r"create certificates pool",
        "ACME_CA_FILE has no PEM certificates.",
    ),
    (
        r"get directory.*no such host",
        _DIRECTORY + "has a name that doesn't resolve: correct ACME_DIRECTORY, or this host's DNS.",
    ),
    (
        r"get directory.*(?:refused|timeout|deadline|unreachable|EOF|reset)",
        _DIRECTORY + "doesn't answer: make sure that this host can connect to it.",
    ),
    (
        r"get directory|unsupported protocol scheme|invalid character",
        _DIRECTORY + "isn't an ACME directory: correct ACME_DIRECTORY.",
    ),
    (r"permission denied|read-only file system", "lego can't write its files: {said}"),
    (
        r"giving up after",
        "lego didn't finish in time: make sure that this host can connect to the CA.",
    ),
)


def explain(output: str, domain: str, directory: str) -> str:
    """What lego's failure means, and what to do."""
    for pattern, sentence in _CAUSES:
        if re.search(pattern, output, re.DOTALL):
            return sentence.format(domain=domain, directory=directory, said=_said(output))
    return f"lego failed: {_said(output)}"


def _said(output: str) -> str:
    """The CA's own text in lego's output: what follows the problem's type."""
    if found := re.findall(r"acme:error:\w+ :: ([^\n]+)", output):
        words = str(found[-1]).partition(", problem:")[0].partition(", url:")[0]
    else:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        words = lines[-1] if lines else "it printed nothing"
    return words.rstrip(".") + "."
