"""The steps of an upgrade that need no Docker: files, the service, the edge, and test data."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from signalpost.credentials import Secret
from turnctl.check.targets import Access, read_target
from turnctl.coturn import parsing
from turnctl.coturn.parsing import Conf
from turnctl.deployment import datadir, dotenv
from turnctl.deployment.edge.prefer import prefer
from turnctl.deployment.edge.runtime import Edge, NotThere, Refused
from turnctl.deployment.placement import NoPlace
from turnctl.diagnosis.catalogue import Severity
from turnctl.diagnosis.report import Report
from turnctl.host import files
from turnctl.host.addresses import host_port
from turnctl.host.ports import Listener, bound_sockets
from turnctl.setup.choices import Choices, Conflict
from turnctl.setup.initialize import initialize
from turnctl.upgrade import facts
from turnctl.upgrade.facts import Facts, Host, Note, Result
from turnctl.upgrade.moves import Step

__all__ = ["Work"]

TIMEOUT = 5.0
"""Seconds for each URL, as in `turnctl check`."""
LOOKS, PAUSE = 60, 0.5
"""Half a minute for the service to hand out another relay: it looks at its file every two
seconds."""
PAIRS, RATE, SECONDS = 10, 200.0, 0.3
"""A round of load: 20 allocations and 600 packets, far too little to disturb calls."""
REJECTING = {"reply-ttl-low"}
"""Findings that count against a relay whatever their severity."""


@dataclass(frozen=True, slots=True)
class Work:
    """`directory` is the data directory, `http_port` the service's port and `next_port` that of the
    relay that the upgrade starts. `choices_from` reads init's options from arguments and the
    environment, and raises Unusable."""

    directory: Path
    env_file: Path
    http_port: int
    next_port: int
    edge_socket: Path
    choices_from: Callable[[Sequence[str]], Choices]
    now: Callable[[], float] = time.time

    def facts(self, host: Host, asked: str, patience: int, done: Result) -> Facts:
        """All facts at this moment."""
        return Facts(
            now=self.now(),
            asked=asked,
            patience=patience,
            host=host,
            handed_out=self._handed_out(),
            allocations=self._allocations(),
            next_port=self.next_port,
            note=self.note(),
            done=done,
        )

    def note(self) -> Note:
        return facts.load(self._text(self._note_file) or "")

    def keep(self, note: Note | None) -> None:
        """Write the note for the next step and the next run; None removes it."""
        if note is not None:
            files.write(self._note_file, facts.dump(note), mode=0o600)
            return
        with files.owned(self.directory):
            self._note_file.unlink(missing_ok=True)

    @property
    def _note_file(self) -> Path:
        return self.directory / "upgrade.json"

    def do(self, step: Step, f: Facts) -> Result:
        """Take a step. Its status is 0 if it succeeded; otherwise the text says why not."""
        try:
            match step.verb:
                case "install":
                    self._install(step.names, f)
                case "record":
                    self._record(step.names, f)
                case "hand-out":
                    self._hand_out(step.names[0], f)
                case "prove":
                    return asyncio.run(self._prove(step.names))
                case "load":
                    asyncio.run(self._load(step.names))
        except (files.Unusable, Conflict, NoPlace, NotThere, Refused, ssl.SSLError) as error:
            return Result(step.verb, 1, str(error))
        return Result(step.verb)

    # --- files --------------------------------------------------------------------------------

    def _install(self, names: tuple[str, ...], f: Facts) -> None:
        was = names[:1] == ("was",)
        version = f.note.was_version if was else f.note.version
        self._init(f.handed_out, version, names[1:] if was else names)

    def _init(self, relay: str, version: str, only: tuple[str, ...]) -> None:
        """As `turnctl init` does, with the environment that compose.yaml gives it."""
        arguments = ["--dir", str(self.directory), "--coturn-version", version, "--relay", relay]
        for name in only:
            arguments += ["--only", name]
        initialize(self.choices_from(arguments), record={})

    def _record(self, names: tuple[str, ...], f: Facts) -> None:
        image, version = f.asked, f.note.version
        if names == ("was",):
            image, version = f.note.was, f.note.was_version
        dotenv.keep(self.env_file, {"COTURN_IMAGE": image, "COTURN_VERSION": version})

    def _text(self, path: Path) -> str | None:
        """Read a file as its directory's owner; None if that isn't possible."""
        try:
            with files.owned(path.parent):
                return path.read_text(encoding="utf-8")
        except (OSError, ValueError, files.Unusable):
            return None

    def _conf(self, name: str) -> Conf:
        path = self.directory / name / "turnserver.conf"
        return parsing.parse(str(path), self._text(path) or "")

    def _handed_out(self) -> str:
        """The relay in the service's own settings, which an earlier run may have written."""
        try:
            settings = yaml.safe_load(self._text(self.directory / "signalpost.yaml") or "")
            relays = settings["turn"]["relays"]
            ports = {one.get("udp") for one in relays}
        except (yaml.YAMLError, TypeError, KeyError, AttributeError):
            return "coturn"
        return "coturn-next" if self.next_port in ports else "coturn"

    def _allocations(self) -> dict[str, int]:
        """Relay → how many relayed addresses it has, from the host's table of sockets."""
        sockets: list[Listener] = []
        with contextlib.suppress(OSError):
            sockets = bound_sockets(protocols=["udp"])
        found = {}
        for name in ("coturn", "coturn-edge", "coturn-next", "coturn-edge-next"):
            conf = self._conf(name)
            first, last = conf.relay_range
            own = {*conf.values("relay-ip")} or {*conf.values("listening-ip")}
            if own:
                found[name] = sum(
                    one.address in own and first <= one.port <= last for one in sockets
                )
        return found

    # --- the service and the edge ---------------------------------------------------------------

    def _hand_out(self, relay: str, f: Facts) -> None:
        # Only the files of the relays beside are written; they have this version already.
        self._init(relay, f.note.version, f.beside)
        port = self._conf(relay).port
        if not asyncio.run(self._handed(port)):
            raise files.Unusable(
                f"the service doesn't hand out {relay}; see docker compose logs signal"
            )
        if f.edge:
            server = "coturn-edge" if relay == "coturn" else "coturn-edge-next"
            asyncio.run(prefer(Edge(self.edge_socket, port=0), server))

    async def _handed(self, port: int) -> bool:
        key = datadir.secrets_in(self.directory / "api-key")[0][0]
        url = f"http://127.0.0.1:{self.http_port}"
        context = ssl.create_default_context()
        for _ in range(LOOKS):
            source = await read_target(url, Access(api_key=key), context=context, patience=TIMEOUT)
            urls = [url for server in source.servers for url in server.urls]
            if any(url.startswith("turn:") and f":{port}?" in url for url in urls):
                return True
            await asyncio.sleep(PAUSE)
        return False

    # --- data through relays ----------------------------------------------------------------------

    def _urls(self, name: str) -> Iterator[str]:
        """The relay's listeners. Behind the edge, TCP is only for the edge, with PROXY headers."""
        conf = self._conf(name)
        transports = ("udp",) if "edge" in name else conf.transports
        for address in conf.values("listening-ip"):
            for transport in transports:
                yield f"turn:{host_port(address, conf.port)}?transport={transport}"

    def _secret(self) -> Secret:
        return datadir.secrets_in(self.directory / "turn-secret")[0][0]

    async def _prove(self, names: tuple[str, ...]) -> Result:
        """Status 0 if data goes through each listener; 1 if no relay answered, 2 if one did but
        the check failed."""
        from turnctl.check.engine import Options
        from turnctl.check.examine import Request, examine
        from turnctl.diagnosis.observations import Allocation

        urls = tuple(url for name in names for url in self._urls(name))
        if not urls:
            return Result("prove", 1, f"{' '.join(names)}: no listener is configured")
        request = Request(
            targets=urls,
            access=Access(secret=self._secret()),
            options=Options(timeout=TIMEOUT, relay_only=True),
            families=(4, 6),
            context=ssl.create_default_context(),
        )
        report = await examine(request, lambda _: None)
        problems = wrong(report)
        answered = any(one.relayed for one in report.record.each(Allocation))
        return Result("prove", 0 if not problems else 2 if answered else 1, "\n".join(problems))

    async def _load(self, names: tuple[str, ...]) -> None:
        """A round of load. How much of it a relay grants doesn't matter: quotas may be small."""
        await asyncio.gather(*map(self._round, names))

    async def _round(self, name: str) -> None:
        from turnctl.diagnosis.plan import make_plan
        from turnctl.load.pairs import Demand, run

        context = ssl.create_default_context()
        url = next(self._urls(name), None)
        if url is None:
            return
        access = Access(secret=self._secret())
        source = await read_target(url, access, context=context, patience=TIMEOUT)
        plan = make_plan(source.servers, families=(4, 6), relay_only=True)
        pairs = min(PAIRS, self._conf(name).number("user-quota", 2 * PAIRS) // 2)
        for probe in plan.probes[:1]:
            demand = Demand(max(1, pairs), 172, 0, RATE, SECONDS)
            await run(probe, probe.uri.host, demand, patience=TIMEOUT, context=context)


def wrong(report: Report) -> list[str]:
    """A line for each finding against the relays; none if data goes through."""
    problems = [
        f"{one.url} {one.code}: {one.summary}".strip()
        for one in report.findings
        if one.severity is Severity.FAIL or one.code in REJECTING
    ]
    if not problems and report.verdict == "fail":
        problems = [f"{case.probe.url}: {verdict}" for case, verdict in report.verdicts]
    return problems
