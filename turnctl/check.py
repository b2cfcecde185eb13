"""`turnctl check`: from targets to verdict, findings and exit status."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import math
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from signalpost.iceservers import IceUri, IceUriError, parse_uri
from turnctl.commands import Failure, Misuse
from turnctl.secretfile import SecretFileError, read_secrets

__all__ = ["check"]

MAX_TIMEOUT = 120.0


class _Seconds(click.FloatRange):
    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):  # which is neither below the minimum nor above the maximum
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds


class _StunUri(click.ParamType[IceUri]):
    name = "URI"

    def convert(self, value: Any, param: Any, ctx: Any) -> IceUri:
        try:
            uri = parse_uri(str(value))
        except IceUriError as error:
            self.fail(str(error), param, ctx)
        if uri.transport != "udp" or uri.secure:
            self.fail(f"{value!r}: must be asked over UDP, as in stun:HOST:3478", param, ctx)
        return uri


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="coturn's static-auth-secret: mints credentials for a URI, tells causes of a 401 apart.",
)
@click.option("--username", metavar="NAME", help="A fixed credential for stun:/turn: targets.")
@click.option("--credential", metavar="PASSWORD", help="The password that goes with --username.")
@click.option(
    "--api-key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A key of the service that hands out the iceServers.",
)
@click.option("--relay-only", is_flag=True, help="Leave out STUN URLs and the srflx leg.")
@click.option("--family", type=click.Choice(["4", "6"]), help="Only IPv4 or only IPv6.")
@click.option(
    "--timeout",
    type=_Seconds(0.5, MAX_TIMEOUT),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="For each URL.",
)
@click.option(
    "--stun-echo",
    type=_StunUri(),
    help="An independent STUN server: tells this network's blocks from the server's.",
)
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="PEM bundle to trust instead of the system's.",
)
@click.option("--insecure", is_flag=True, help="Go on although a certificate is not trusted.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to report.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report there instead of to standard output.",
)
@click.option("-v", "--verbose", is_flag=True, help="Every step as it is made, on standard error.")
def check(**options: Any) -> int:
    """Prove that STUN and TURN work and carry data, or name why not.

    TARGET is a service's URL, a stun:, turn: or turns: URI, or a JSON file with iceServers (- is
    standard input); http://127.0.0.1:8080 when there is none.

    \b
    Exit status:
      0  a relay carries data, and nothing is wrong with the server
      1  a failing finding
      2  wrong usage
      3  the check could not be made
    """
    if (options["username"] is None) != (options["credential"] is None):
        raise Misuse("--username and --credential go together: give both")
    if options["username"] is not None and options["secret_file"] is not None:
        raise Misuse("give --secret-file or --username with --credential, not both")
    output: Path | None = options["output"]
    if output is not None:
        _refuse_unwritable(output)
    return _Check(options).run()


class _Check:
    """One run. Everything that does I/O is imported here, after the options proved right."""

    def __init__(self, options: dict[str, Any]) -> None:
        from turnctl.engine import Options
        from turnctl.sources import DEFAULT_TARGET, Access

        secrets = _secrets(options["secret_file"])
        login = (options["username"], options["credential"]) if options["username"] else None
        api_keys = _secrets(options["api_key_file"])
        self.targets: tuple[str, ...] = options["targets"] or (DEFAULT_TARGET,)
        self.access = Access(
            secret=secrets[0] if secrets else None,
            login=login,
            api_key=api_keys[0] if api_keys else None,
        )
        self.options = Options(
            timeout=options["timeout"],
            relay_only=options["relay_only"],
            insecure=options["insecure"],
            ca=options["ca"],
            secrets=tuple(secrets),
            reference=options["stun_echo"],
        )
        self.family: str | None = options["family"]
        self.format: str = options["format_"]
        self.output: Path | None = options["output"]
        self.verbose: bool = options["verbose"]
        self.context = _context(self.options.ca, verify=not self.options.insecure)

    def run(self) -> int:
        from turnctl.reports import json

        if self.format == "json":
            report = self._run(lambda _: None)
            self._deliver(json.render(report))
        elif self.output is None and sys.stdout.isatty():
            report = self._on_terminal()
        else:
            report = self._as_lines()
        return 1 if report.verdict == "fail" else 0

    def _on_terminal(self) -> Any:
        from rich.console import Console

        from turnctl.reports.live import Terminal

        terminal = Terminal(Console(highlight=False))
        terminal.start(" ".join(self.targets))
        try:
            report = self._run(terminal.observe)
        finally:
            terminal.stop()
        terminal.finish(report)
        return report

    def _as_lines(self) -> Any:
        from turnctl.reports.text import Plain

        kept: list[str] = []
        write: Callable[[str], object] = kept.append if self.output else click.echo
        plain = Plain(write)
        report = self._run(plain.observe)
        plain.finish(report)
        if self.output:
            self._deliver("\n".join(kept) + "\n")
        return report

    def _deliver(self, text: str) -> None:
        if self.output is None:
            click.echo(text, nl=False)
        else:
            _write(self.output, text)

    def _run(self, observe: Callable[[Any], None]) -> Any:
        try:
            return asyncio.run(self._probe(observe))
        except asyncio.CancelledError:
            sys.exit(128 + signal.SIGTERM)
        except ExceptionGroup as group:
            raise _first(group) from group

    async def _probe(self, observe: Callable[[Any], None]) -> Any:
        """Load the targets, run the plan, judge."""
        from turnctl import engine, sources
        from turnctl.case import Record
        from turnctl.judge import judge, overall, url_verdict
        from turnctl.observations import Observation
        from turnctl.plan import make_plan
        from turnctl.reports import Report

        _stop_on_sigterm()
        started, begun = datetime.datetime.now(datetime.UTC), time.monotonic()
        seen: list[Observation] = []

        def record(one: Observation) -> None:
            seen.append(one)
            if self.verbose:
                click.echo(_trace(one), err=True)
            observe(one)

        try:
            loaded = await asyncio.gather(
                *(
                    sources.load(
                        target, self.access, context=self.context, patience=self.options.timeout
                    )
                    for target in self.targets
                )
            )
        except sources.SourceError as error:
            raise Misuse(str(error)) from error
        for source in loaded:
            if source.issuer:
                record(source.issuer)
        plan = make_plan(
            [server for source in loaded for server in source.servers],
            families=(4, 6) if self.family is None else (4,) if self.family == "4" else (6,),
            relay_only=self.options.relay_only,
        )
        if not plan and any(source.servers for source in loaded):
            raise Misuse("--relay-only and --family leave no URL of the target to probe")
        await engine.run(plan, self.options, record)
        judged = Record.of(plan, seen)
        findings = tuple(judge(plan, seen, now=time.time()))
        return Report(
            target=" ".join(self.targets),
            started_at=started.isoformat(timespec="milliseconds"),
            elapsed_ms=(time.monotonic() - begun) * 1000,
            record=judged,
            findings=findings,
            verdict=overall(judged, findings),
            verdicts=tuple((case, url_verdict(case, findings)) for case in judged.cases),
        )


def _first(error: Exception) -> Exception:
    """What task groups wrapped: mostly an output that takes no more, which ends the check."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _stop_on_sigterm() -> None:
    """`timeout` and container engines send SIGTERM: it releases allocations as Ctrl-C does."""
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _secrets(path: Path | None) -> list[Any]:
    try:
        return read_secrets(path) if path is not None else []
    except SecretFileError as error:
        raise Misuse(str(error)) from error


def _context(ca: Path | None, *, verify: bool) -> ssl.SSLContext:
    from turnctl.wire import tls

    try:
        return tls.context(ca, verify=verify)
    except OSError as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "holds no certificate"
        raise Misuse(f"--ca {ca}: {reason}; give a PEM file with CA certificates") from error


_UNTOLD = {"username", "nonce", "rtts_ms", "url", "family", "at_ms"}
"""Fields that -v leaves out: they belong to the credential, or are told otherwise."""


def _trace(one: Any) -> str:
    facts = " ".join(
        f"{name}={value:.1f}" if isinstance(value, float) else f"{name}={value}"
        for name in one.__dataclass_fields__
        if name not in _UNTOLD and (value := getattr(one, name)) not in (None, "", ())
    )
    family = f" IPv{one.family}" if one.family else ""
    return f"{one.at_ms / 1000:.3f} {one.url}{family} {type(one).__name__} {facts}"


def _refuse_unwritable(path: Path) -> None:
    """Before any packet is sent: a report that cannot be kept is no reason to make one."""
    folder = path.parent
    if path.is_dir():
        raise Misuse(f"--output {path}: is a directory; give a file")
    if not folder.is_dir():
        raise Misuse(f"--output {path}: there is no directory {folder}")
    if not _special(path) and not os.access(folder, os.W_OK):
        raise Failure(f"--output {path}: no permission to write in {folder}")


def _special(path: Path) -> bool:
    """A device or a pipe, such as /dev/stdout: it is written to, never replaced."""
    return path.exists() and not path.is_file()


def _write(path: Path, text: str) -> None:
    """All of it or nothing: a half-written report would be read as a whole one."""
    try:
        if _special(path):
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # of a link, what it points to is replaced
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Failure(f"--output {path}: {error.strerror}; the report was not written") from error
