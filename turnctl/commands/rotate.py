"""`turnctl rotate`: change a secret while calls go on.

Every step is derived from what the data directory holds, proven where it counts, and written down
before the next one: killed anywhere, the next run goes on from there.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
import yaml

from signalpost.credentials import Secret
from turnctl.commands.errors import Failure
from turnctl.host import files
from turnctl.rotation.confirm import Service
from turnctl.rotation.keyring import Keyring, Standing
from turnctl.rotation.proofs import PATIENCE, QUICK, Asking, IdProof, KeyProof, Proof, TurnProof
from turnctl.rotation.steps import Kind, Step

__all__ = ["rotate"]

LOOK = 5.0
"""Seconds from look to look at the clock while old credentials run out."""

MEANS = {
    Kind.TURN: "Calls go on: running allocations keep what they have, and credentials that were "
    "handed out are good for as long as they were made for.",
    Kind.API: "Both keys are accepted now. Give the first line of {path} to your back ends; then "
    "`turnctl rotate api --revoke` takes the old key away.",
    Kind.TOKEN: "New tokens are signed with the new key, and the old ones stay good until they "
    "expire. A back end that signs tokens itself needs the first line of {path} before then.",
}
REVOKED = {
    Kind.TURN: "Running allocations go on until they end. A new one with a credential from before "
    "gets 401: clients must fetch iceServers again.",
    Kind.API: "Back ends that still have the old key get 401: give them the first line of {path}.",
    Kind.TOKEN: "Whoever comes with a token from before gets 401 and must ask for another; open "
    "connections stay.",
}
ID_MEANS = (
    "Users and guests get other ids at the relay and in the logs, so their quotas, their mint "
    "limits and what they were barred from begin anew; running calls go on. Nothing can overlap."
)


def _url(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.BadParameter(f"{value!r} is no URL such as http://127.0.0.1:8080")
    return value.rstrip("/")


@click.command()
@click.argument("word", type=click.Choice(["turn", "api", "token", "id"]), default="turn")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False, readable=False),
    default=Path(".signalpost"),
    show_default=True,
    help="Data directory, as `turnctl init` made it.",
)
@click.option(
    "--service",
    "url",
    metavar="URL",
    callback=_url,
    help="The service. Default: this host, at the port in signalpost.yaml.",
)
@click.option(
    "--no-wait",
    is_flag=True,
    help="Return once the new one is in use; a later run, or `turnctl init`, removes the old one.",
)
@click.option(
    "--revoke", is_flag=True, help="Remove the old one at once: it has leaked, or nobody has it."
)
@click.option("--yes", is_flag=True, help="Change the id key, where nothing can overlap.")
def rotate(
    word: str, directory: Path, url: str | None, no_wait: bool, revoke: bool, yes: bool
) -> None:
    """Change the TURN secret while calls go on; or the API, token or id key.

    The new secret is put beside the old one, proven by an allocation at every relay, and used from
    then on; the old one is removed when the last credential made with it has expired. Stopped
    anywhere, even by a power cut, it goes on from there when it is run again.

    \b
    Exit status:
      0  done, or with --no-wait in use
      2  wrong usage
      3  could not go on; everything that was valid still is
    """
    kind = Kind[word.upper()]
    if kind is Kind.ID and (revoke or no_wait):
        raise click.UsageError("the id key is replaced at once: it takes neither of these options")
    if kind is not Kind.ID and yes:
        raise click.UsageError("--yes is for `turnctl rotate id` alone")
    if not directory.is_dir():
        raise Failure(f"{directory}: is not there; give the data directory with --dir")
    try:
        work = _Work.of(kind, directory, url or _service(directory), strict=not revoke)
        if kind is Kind.ID:
            work.replace_id(sure=yes)
        else:
            work.run(wait=not no_wait, revoke=revoke)
    except KeyboardInterrupt:
        click.echo("stopped; nothing is lost, run this again to go on", err=True)
        raise
    except files.Unusable as error:
        raise Failure(str(error)) from error


def _service(directory: Path) -> str:
    """Where the service listens, by its own file; `::` is every address of both families, and this
    machine may lack IPv6.
    """
    path = directory / "signalpost.yaml"
    try:
        with files.owned(directory):
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        listener = document.get("http") or {}
        host, port = str(listener.get("host", "127.0.0.1")), int(listener.get("port", 8080))
    except FileNotFoundError:
        host, port = "127.0.0.1", 8080
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError) as error:
        raise Failure(f"{path}: does not tell where the service listens; give --service") from error
    loopback = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104  compared, not bound
    host = loopback.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@dataclass(frozen=True, slots=True)
class _Work:
    """One run. `now` gives Unix time; `sleep` takes seconds."""

    ring: Keyring
    proof: Proof
    asking: Asking
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of(cls, kind: Kind, directory: Path, url: str, *, strict: bool) -> _Work:
        asking = Asking(directory, Service(url), strict)
        proof = TurnProof(asking) if kind is Kind.TURN else KeyProof(asking, kind, time.time)
        return cls(Keyring(directory, kind), proof, asking)

    def run(self, *, wait: bool, revoke: bool) -> None:
        """Step by step, from wherever the last run was stopped."""
        begun = self.ring.standing(self.now()).step is not Step.BEGIN
        told = False
        if begun:
            click.echo("going on with the rotation that was begun before")
            if revoke:
                click.echo("its new one stays: has that leaked too, run this once more")
        while True:
            standing = self.ring.standing(self.now())
            match standing.step:
                case Step.BEGIN if begun:
                    click.echo("the old one is removed: `turnctl init` was faster")
                    return
                case Step.BEGIN:
                    self.ring.follow()  # what cannot serve is told before anything changes
                    longest = self.proof.ready(standing.values)
                    self.ring.begin(longest, first=self.ring.kind is not Kind.TURN)
                    click.echo(f"{self.ring.path}: a new one, beside the old")
                    begun = True
                case Step.SWITCH:
                    self.ring.follow()
                    self.proof.verified(standing.incoming)
                    self.ring.switch()
                case Step.SETTLE:
                    if self._settle(standing, revoke=revoke):
                        return
                case Step.WAIT if not revoke:
                    if not told:
                        self._tell(standing, wait=wait)
                        told = True
                    if not wait:
                        return
                    self.sleep(min(LOOK, self._left(standing)))
                case Step.WAIT | Step.REMOVE:
                    self._remove(standing, revoked=standing.step is Step.WAIT)
                    return

    def _settle(self, standing: Standing, *, revoke: bool) -> bool:
        """The new one is in use; whether that is all."""
        longest = self.proof.adopted(standing.incoming)
        self.ring.share()
        if revoke:
            self._remove(standing, revoked=True)
            return True
        if self.ring.kind is Kind.API:
            self._explain(MEANS)
            return True
        self.ring.settle(self.now(), longest)
        return False

    def _remove(self, standing: Standing, *, revoked: bool) -> None:
        """`revoked`: before it had run out."""
        old = standing.outgoing
        self.ring.remove()
        click.echo(f"{self.ring.path}: the old one is removed")
        self.proof.gone(old)
        if revoked:
            self._explain(REVOKED)

    def _tell(self, standing: Standing, *, wait: bool) -> None:
        self._explain(MEANS)
        end = datetime.datetime.fromtimestamp(self._until(standing), datetime.UTC)
        later = "this command, run again, or `turnctl init`, which every `docker compose up` runs"
        click.echo(f"the old one is valid until {end:%Y-%m-%d %H:%M:%S} UTC; then ", nl=False)
        if wait:
            click.echo(f"it is removed here. Ctrl-C loses nothing: {later}, removes it as well")
        else:
            click.echo(f"{later}, removes it")

    def _explain(self, words: dict[Kind, str]) -> None:
        click.echo(words[self.ring.kind].format(path=self.ring.path))

    def _until(self, standing: Standing) -> int:
        return (standing.rotation and standing.rotation.until) or 0

    def _left(self, standing: Standing) -> float:
        return max(0.1, self._until(standing) - self.now())

    def replace_id(self, *, sure: bool) -> None:
        """The id key has no overlap: an id is made with one key or with the other."""
        click.echo(ID_MEANS)
        if not sure:
            raise click.UsageError("give --yes to do it; nothing was changed")
        proof = IdProof(self.asking)
        proof.holds(self._id_key(), "nothing was changed", QUICK)
        self.ring.replace()
        click.echo(f"{self.ring.path}: a new one, in place of the old")
        proof.holds(self._id_key(), "the new one is in its file", PATIENCE)
        click.echo("the service uses it")

    def _id_key(self) -> Secret:
        return self.ring.standing(self.now()).values[0]
