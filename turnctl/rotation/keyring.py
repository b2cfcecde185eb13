"""A secret's file, the note of its rotation, and the databases of the relays, changed in an order
that may be cut off anywhere.

The note comes first, then the secret's file, then the databases: what the file says is the truth,
and whoever comes next, `turnctl rotate` or `turnctl init`, makes the databases follow it. Each
change holds the data directory and looks first whether it is still due, so that two at once agree.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.coturn import database, parsing
from turnctl.coturn.parsing import Conf
from turnctl.deployment import datadir
from turnctl.deployment.relays import SHARES
from turnctl.host import files
from turnctl.host.files import Unusable
from turnctl.rotation import steps
from turnctl.rotation.steps import Kind, Rotation, Step

__all__ = ["NOTE", "Keyring", "Relay", "Standing", "finish_overdue", "relays"]

NOTE = "rotation.json"
"""In the data directory while a rotation is under way."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A coturn of this deployment, as its configuration has it. Clients know it by one of
    `addresses`. At a `proxied` one the first bytes of a connection are a PROXY header."""

    name: str
    home: Path
    realm: str
    address: str
    port: int
    proxied: bool
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a rotation is. `values` are the file's."""

    step: Step
    values: tuple[Secret, ...]
    rotation: Rotation | None

    @property
    def incoming(self) -> Secret:
        """The new value. Only while a rotation is under way."""
        wanted = self.rotation.incoming if self.rotation else ""
        return next(value for value in self.values if steps.digest(value) == wanted)

    @property
    def outgoing(self) -> tuple[Secret, ...]:
        if self.rotation is None:
            return ()
        kept = steps.rest(self.rotation, self.values)
        return tuple(value for value in self.values if value not in kept)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The values of one kind. Every method raises Unusable for files that cannot serve."""

    directory: Path
    kind: Kind

    @property
    def path(self) -> Path:
        return self.directory / self.kind

    def standing(self, now: float) -> Standing:
        values = self._values()
        noted = _notes(self.directory).get(self.kind)
        return Standing(steps.next_step(noted, values, now), values, noted)

    def begin(self, longest: int, *, first: bool) -> None:
        """A new value beside the others: first where one reader knows all of them, else last, so
        that nothing is made with it before every relay has it. `longest` as in Rotation."""
        new = Secret(secrets.token_hex(datadir.SECRET_BYTES))

        def change(now: Standing) -> None:
            old = tuple(map(steps.digest, now.values))
            self._note(Rotation(steps.digest(new), old, longest))
            self._write((new, *now.values) if first else (*now.values, new))

        self._when({Step.BEGIN}, change)

    def switch(self) -> None:
        """The new value first."""

        def change(now: Standing) -> None:
            if now.rotation is not None:
                self._write(steps.switched(now.rotation, now.values))

        self._when({Step.SWITCH}, change)

    def settle(self, at: float, longest: int) -> None:
        """Write down when the old ones have run out: what was made with them is of `at` or earlier
        and good for `longest` seconds."""

        def change(now: Standing) -> None:
            if now.rotation is not None:
                self._note(now.rotation.settled(at, longest))

        self._when({Step.SETTLE}, change)

    def remove(self) -> None:
        """The old ones go, due or not; never before the new one is the first."""
        self._when({Step.SETTLE, Step.WAIT, Step.REMOVE}, self._remove)

    def replace(self) -> None:
        """A new value in place of all others, at once."""
        with files.locked(self.directory):
            self._write((Secret(secrets.token_hex(datadir.SECRET_BYTES)),))

    def share(self) -> None:
        """The probe has a copy of the API key that is to be used."""
        probe = self.directory / "probe"
        if self.kind is Kind.API and probe.is_dir():
            key = self._values()[0].reveal()
            files.write(probe / self.kind, key + "\n", mode=datadir.secret_mode(probe))

    def follow(self) -> None:
        """Make the databases follow the file."""
        with files.locked(self.directory):
            self._tell_relays(self._values())

    def _when(self, due: set[Step], change: Callable[[Standing], None]) -> None:
        with files.locked(self.directory):
            # Time alone leads from WAIT to REMOVE, and who asks for one accepts the other.
            if (now := self.standing(0)).step in due:
                change(now)

    def _remove(self, now: Standing) -> None:
        """The caller holds the directory."""
        if now.rotation is not None:
            self._write(steps.rest(now.rotation, now.values))
            self._note(None)

    def _values(self) -> tuple[Secret, ...]:
        with files.owned(self.directory):
            if not self.path.exists():
                raise Unusable(
                    f"{self.path}: is not there; give the data directory with --dir, or run "
                    "`turnctl init`, which makes the file"
                )
        return datadir.secrets_in(self.path)[0]

    def _write(self, values: tuple[Secret, ...]) -> None:
        text = "".join(value.reveal() + "\n" for value in values)
        files.write(self.path, text, mode=datadir.secret_mode(self.directory))
        self._tell_relays(values)

    def _tell_relays(self, values: tuple[Secret, ...]) -> None:
        if self.kind is Kind.TURN:
            for relay in relays(self.directory):
                with files.owned(relay.home):
                    database.put(relay.home / "turndb", relay.realm, values)

    def _note(self, one: Rotation | None) -> None:
        notes = _notes(self.directory)
        notes.pop(self.kind, None)
        if one is not None:
            notes[self.kind] = one
        path = self.directory / NOTE
        if notes:
            files.write(path, steps.dump(notes), mode=0o600)
        else:
            with files.owned(self.directory):
                path.unlink(missing_ok=True)


def finish_overdue(directory: Path, now: float) -> list[Kind]:
    """Remove what has run out by the Unix time `now`; of which kinds. For `turnctl init`.

    The caller holds the directory. Raises Unusable.
    """
    finished = []
    for kind in _notes(directory):
        ring = Keyring(directory, kind)
        if (standing := ring.standing(now)).step is Step.REMOVE:
            ring._remove(standing)
            finished.append(kind)
    return finished


def _notes(directory: Path) -> dict[Kind, Rotation]:
    path = directory / NOTE
    with files.owned(directory):
        try:
            return steps.load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise Unusable(
                f"{path}: {reason}; remove it to have rotations begin anew: the old values stay "
                "valid until you take their lines out"
            ) from error


def relays(directory: Path) -> tuple[Relay, ...]:
    """The relays that were configured in this data directory. Raises Unusable."""
    found = []
    for name in SHARES:
        home = directory.resolve() / name
        if home.is_dir() and (conf := _configuration(home)) is not None:
            found.append(_relay(name, home, conf))
    return tuple(found)


def _configuration(home: Path) -> Conf | None:
    path = home / "turnserver.conf"
    with files.owned(home):
        try:
            return parsing.parse(str(path), path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unusable(f"{path}: {error}") from error


def _relay(name: str, home: Path, conf: Conf) -> Relay:
    realms, addresses = conf.values("realm"), conf.values("listening-ip")
    if not realms or not addresses:
        missing = "listening-ip" if realms else "realm"
        raise Unusable(f"{conf.place}: has no {missing}; run `turnctl init`, which writes it anew")
    proxy_port = conf.number("tcp-proxy-port", 0)
    outside = (value.partition("/")[0] for value in conf.values("external-ip"))
    return Relay(
        name=name,
        home=home,
        realm=realms[-1],
        address=addresses[0],
        port=proxy_port or conf.port,
        proxied=proxy_port != 0,
        addresses=frozenset((*addresses, *outside)),
    )
