"""The files of a rotation: the secret's own file, the note about the rotation, and the relays'
databases. They are written in an order that may be interrupted anywhere.

The note comes first, then the secret's file, then the databases. The file decides: the next run of
`turnctl rotate` or `turnctl init` updates the databases from it. Each change locks the data
directory and first checks whether it is still due, so that two runs at once agree.
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
from turnctl.rotation.steps import Kind, Rotation, Stage

__all__ = ["NOTE", "ConfiguredRelay", "Keyring", "Progress", "configured_relays", "finish_overdue"]

NOTE = "rotation.json"
"""In the data directory during a rotation."""


@dataclass(frozen=True, slots=True)
class ConfiguredRelay:
    """A coturn of this deployment, as its configuration file describes it. Clients reach it at one
    of `addresses`. If it is `proxied`, a connection starts with a PROXY header."""

    name: str
    home: Path
    realm: str
    address: str
    port: int
    proxied: bool
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rotation has come. `values` are the file's, in its order."""

    stage: Stage
    values: tuple[Secret, ...]
    rotation: Rotation | None

    @property
    def new(self) -> Secret:
        """The new value. Only during a rotation."""
        wanted = self.rotation.incoming if self.rotation else ""
        return next(value for value in self.values if steps.digest(value) == wanted)

    @property
    def old(self) -> tuple[Secret, ...]:
        """The values that the rotation removes."""
        if self.rotation is None:
            return ()
        kept = steps.rest(self.rotation, self.values)
        return tuple(value for value in self.values if value not in kept)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The secrets of one kind. Every method raises Unusable for files that can't be used."""

    directory: Path
    kind: Kind

    @property
    def path(self) -> Path:
        return self.directory / self.kind

    def progress(self, now: float) -> Progress:
        values = self._values()
        noted = _notes(self.directory).get(self.kind)
        return Progress(steps.stage_of(noted, values, now), values, noted)

    def begin(self, longest: int, *, first: bool) -> None:
        """Add a new value: as the first if one program reads them all, else as the last, so that
        nothing is made with it before every relay has it. `longest` as in Rotation."""
        new = Secret(secrets.token_hex(datadir.SECRET_BYTES))

        def change(now: Progress) -> None:
            old = tuple(map(steps.digest, now.values))
            self._note(Rotation(steps.digest(new), old, longest))
            self._write((new, *now.values) if first else (*now.values, new))

        self._when({Stage.BEGIN}, change)

    def switch(self) -> None:
        """Put the new value first."""

        def change(now: Progress) -> None:
            if now.rotation is not None:
                self._write(steps.switched(now.rotation, now.values))

        self._when({Stage.SWITCH}, change)

    def settle(self, at: float, longest: int) -> None:
        """Note when the old values expire: nothing was made with them after `at`, and it is valid
        for `longest` seconds."""

        def change(now: Progress) -> None:
            if now.rotation is not None:
                self._note(now.rotation.settled(at, longest))

        self._when({Stage.SETTLE}, change)

    def remove(self) -> None:
        """Remove the old values, expired or not, but never before the new one is the first."""
        self._when({Stage.SETTLE, Stage.WAIT, Stage.REMOVE}, self._remove)

    def replace(self) -> None:
        """Replace all values by a new one at once."""
        with files.locked(self.directory):
            self._write((Secret(secrets.token_hex(datadir.SECRET_BYTES)),))

    def copy_to_probe(self) -> None:
        """Give the probe a copy of the first API key."""
        probe = self.directory / "probe"
        if self.kind is Kind.API and probe.is_dir():
            key = self._values()[0].reveal()
            files.write(probe / self.kind, key + "\n", mode=datadir.secret_mode(probe))

    def update_databases(self) -> None:
        """Give the relays' databases the values in the file."""
        with files.locked(self.directory):
            self._update_databases(self._values())

    def _when(self, due: set[Stage], change: Callable[[Progress], None]) -> None:
        with files.locked(self.directory):
            # Only time leads from WAIT to REMOVE, and a caller that accepts one accepts the other.
            if (now := self.progress(0)).stage in due:
                change(now)

    def _remove(self, now: Progress) -> None:
        """The caller has locked the directory."""
        if now.rotation is not None:
            self._write(steps.rest(now.rotation, now.values))
            self._note(None)

    def _values(self) -> tuple[Secret, ...]:
        with files.owned(self.directory):
            if not self.path.exists():
                raise Unusable(
                    f"{self.path} doesn't exist; give the data directory with --dir, or run "
                    "`turnctl init`, which makes the file"
                )
        return datadir.secrets_in(self.path)[0]

    def _write(self, values: tuple[Secret, ...]) -> None:
        text = "".join(value.reveal() + "\n" for value in values)
        files.write(self.path, text, mode=datadir.secret_mode(self.directory))
        self._update_databases(values)

    def _update_databases(self, values: tuple[Secret, ...]) -> None:
        if self.kind is Kind.TURN:
            for relay in configured_relays(self.directory):
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
    """Remove the values that have expired at the Unix time `now`; return their kinds.

    For `turnctl init`. The caller has locked the directory. Raises Unusable.
    """
    finished = []
    for kind in _notes(directory):
        ring = Keyring(directory, kind)
        if (progress := ring.progress(now)).stage is Stage.REMOVE:
            ring._remove(progress)
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
                f"{path}: {reason}. Remove the file to start rotations over: the old values then "
                "stay valid until you delete their lines"
            ) from error


def configured_relays(directory: Path) -> tuple[ConfiguredRelay, ...]:
    """The relays that have a configuration in this data directory. Raises Unusable."""
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


def _relay(name: str, home: Path, conf: Conf) -> ConfiguredRelay:
    realms, addresses = conf.values("realm"), conf.values("listening-ip")
    if not realms or not addresses:
        missing = "listening-ip" if realms else "realm"
        raise Unusable(f"{conf.place} has no {missing}; run `turnctl init`, which rewrites it")
    proxy_port = conf.number("tcp-proxy-port", 0)
    outside = (value.partition("/")[0] for value in conf.values("external-ip"))
    return ConfiguredRelay(
        name=name,
        home=home,
        realm=realms[-1],
        address=addresses[0],
        port=proxy_port or conf.port,
        proxied=proxy_port != 0,
        addresses=frozenset((*addresses, *outside)),
    )
