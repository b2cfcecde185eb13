"""A rotation, step by step.

Each step follows from what the data directory holds, is proved where it matters, and is written
down before the next one. A run that is killed anywhere is continued by the next one.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from signalpost.credentials import Secret
from turnctl.host import files
from turnctl.host.addresses import host_port
from turnctl.rotation.confirm import ServiceClient
from turnctl.rotation.keyring import Keyring, Progress
from turnctl.rotation.proofs import (
    PATIENCE,
    QUICK,
    UNCHANGED,
    IdProof,
    KeyProof,
    Proof,
    RotationError,
    Say,
    ServiceCheck,
    TurnProof,
)
from turnctl.rotation.steps import Kind, Stage

__all__ = ["ID_EFFECT", "Run", "replace_id_key", "rotate", "service_url"]

LOOK = 5.0
"""Seconds between two looks at the clock while old credentials expire."""

EFFECTS = {
    Kind.TURN: "Calls continue: running allocations stay, and every credential that was handed out "
    "stays valid for its whole lifetime.",
    Kind.API: "Both keys are accepted now. Give the first line of {path} to your back ends, then "
    "remove the old key with `turnctl rotate api --revoke`.",
    Kind.TOKEN: "New tokens are signed with the new key, and the old ones stay valid until they "
    "expire. A back end that signs tokens itself needs the first line of {path} before then.",
}
REVOKED = {
    Kind.TURN: "Running allocations continue until they end. A new one with an earlier credential "
    "gets 401: clients must fetch iceServers again.",
    Kind.API: "Back ends that still use the old key get 401: give them the first line of {path}.",
    Kind.TOKEN: "Clients with an earlier token get 401 and must ask for a new one. Open "
    "connections stay.",
}
ID_EFFECT = (
    "Users and guests get new ids at the relay and in the logs, so their quotas, mint limits and "
    "bans start over. Running calls continue. The two keys are never valid at the same time."
)


def service_url(directory: Path) -> str:
    """The service's address on this host, from its signalpost.yaml. Raises RotationError."""
    path = directory / "signalpost.yaml"
    try:
        with files.owned(directory):
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        listener = document.get("http") or {}
        host, port = str(listener.get("host", "127.0.0.1")), int(listener.get("port", 8080))
    except FileNotFoundError:
        host, port = "127.0.0.1", 8080
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise RotationError(
            f"{path} doesn't say where the service listens; give its address with --service"
        ) from error
    # `::` takes both families, and this machine may have no IPv6.
    loopback = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104  compared, not bound
    host = loopback.get(host, host)
    return f"http://{host_port(host, port)}"


def rotate(
    kind: Kind, directory: Path, url: str | None, *, wait: bool, revoke: bool, say: Say
) -> None:
    """Replace the secret of this kind, not ID. `url` is the service's, None for the one on this
    host. `wait` stays until the old secret has expired; `revoke` removes it at once.

    Raises RotationError and files.Unusable.
    """
    service = _service(directory, url, say, strict=not revoke)
    proof = TurnProof(service) if kind is Kind.TURN else KeyProof(service, kind, time.time)
    Run(Keyring(directory, kind), proof, say).run(wait=wait, revoke=revoke)


def replace_id_key(directory: Path, url: str | None, *, say: Say) -> None:
    """Replace the id key at once: an id is made with one key or the other.

    Raises RotationError and files.Unusable.
    """
    ring = Keyring(directory, Kind.ID)
    proof = IdProof(_service(directory, url, say, strict=True))

    def key() -> Secret:
        return ring.progress(0).values[0]

    proof.used(key(), UNCHANGED, QUICK)
    ring.replace()
    say(f"{ring.path}: new key written in place of the old one")
    proof.used(key(), "The new key is in its file.", PATIENCE)
    say("the service uses the new key")


def _service(directory: Path, url: str | None, say: Say, *, strict: bool) -> ServiceCheck:
    return ServiceCheck(directory, ServiceClient(url or service_url(directory)), say, strict)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a rotation. `now` gives Unix time; `sleep` takes seconds."""

    ring: Keyring
    proof: Proof
    say: Say
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @property
    def noun(self) -> str:
        return "secret" if self.ring.kind is Kind.TURN else "key"

    def run(self, *, wait: bool, revoke: bool) -> None:
        """Take step after step, from wherever the last run stopped."""
        begun = self.ring.progress(self.now()).stage is not Stage.BEGIN
        explained = False
        if begun:
            self.say("continuing the rotation that an earlier run began")
            if revoke:
                self.say(f"The new {self.noun} stays. If it leaked too, run this again.")
        while True:
            progress = self.ring.progress(self.now())
            match progress.stage:
                case Stage.BEGIN if begun:
                    self.say(f"`turnctl init` has already removed the old {self.noun}")
                    return
                case Stage.BEGIN:
                    # A database that can't be written is reported before anything changes.
                    self.ring.update_databases()
                    longest = self.proof.ready(progress.values)
                    self.ring.begin(longest, first=self.ring.kind is not Kind.TURN)
                    self.say(f"{self.ring.path}: new {self.noun} added beside the old one")
                    begun = True
                case Stage.SWITCH:
                    self.ring.update_databases()
                    self.proof.verified(progress.new)
                    self.ring.switch()
                case Stage.SETTLE:
                    if self._settle(progress, revoke=revoke):
                        return
                case Stage.WAIT if not revoke:
                    if not explained:
                        self._explain_wait(progress, wait=wait)
                        explained = True
                    if not wait:
                        return
                    self.sleep(min(LOOK, self._left(progress)))
                case Stage.WAIT | Stage.REMOVE:
                    self._remove(progress, revoked=progress.stage is Stage.WAIT)
                    return

    def _settle(self, progress: Progress, *, revoke: bool) -> bool:
        """Everything uses the new value. Returns whether the run is over."""
        longest = self.proof.adopted(progress.new)
        self.ring.copy_to_probe()
        if revoke:
            self._remove(progress, revoked=True)
            return True
        if self.ring.kind is Kind.API:
            self._explain(EFFECTS)
            return True
        self.ring.settle(self.now(), longest)
        return False

    def _remove(self, progress: Progress, *, revoked: bool) -> None:
        """`revoked`: before the old values have expired."""
        old = progress.old
        self.ring.remove()
        self.say(f"{self.ring.path}: old {self.noun} removed")
        self.proof.removed(old)
        if revoked:
            self._explain(REVOKED)

    def _explain_wait(self, progress: Progress, *, wait: bool) -> None:
        self._explain(EFFECTS)
        end = datetime.datetime.fromtimestamp(self._until(progress), datetime.UTC)
        self.say(f"The old {self.noun} is valid until {end:%Y-%m-%d %H:%M:%S} UTC.")
        later = "run this again, or `turnctl init`, which every `docker compose up` runs"
        if wait:
            self.say(
                f"This run then removes it. Ctrl-C loses nothing: to remove it later, {later}."
            )
        else:
            self.say(f"To remove it then, {later}.")

    def _explain(self, texts: dict[Kind, str]) -> None:
        self.say(texts[self.ring.kind].format(path=self.ring.path))

    def _until(self, progress: Progress) -> int:
        return (progress.rotation and progress.rotation.until) or 0

    def _left(self, progress: Progress) -> float:
        return max(0.1, self._until(progress) - self.now())
