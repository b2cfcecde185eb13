"""Loads the settings from the YAML file, the environment and secret files, or reports every
mistake.

The environment overrides the file, and the file overrides the default. An unknown key, a weak
secret or a secret file that others may read stops the start. `docs/configuration.md` explains every
row of the table of settings, and a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, cast

import yaml

from signalpost import hooksecret, tokens
from signalpost.config import readers
from signalpost.config.settings import (
    Auth,
    Guests,
    HookEvent,
    Hooks,
    Http,
    Limits,
    Log,
    LogFormat,
    LogLevel,
    MetricsListener,
    Settings,
    Turn,
)
from signalpost.credentials import MIN_SECRET_BYTES, Secret, TtlPolicy
from signalpost.limits import Rate
from signalpost.secretfile import SecretFileError, read_secret_file

__all__ = ["SETTINGS", "ConfigError", "Mistake", "Setting", "find_config", "load", "show"]

PREFIX = "SIGNALPOST_"
CONFIG_VARIABLE = "SIGNALPOST_CONFIG"
SEARCHED = (Path(".signalpost/signalpost.yaml"), Path("/var/lib/signalpost/signalpost.yaml"))

MAX_DEPTH = 20
MAX_BYTES = 1_048_576
"""A configuration file has a few hundred bytes. A larger one is a wrong path (a device, an image).
"""

_INJECTED = re.compile(r"SIGNALPOST_(SERVICE_(HOST|PORT(_.*)?)|PORT(_[0-9]+_(TCP|UDP)(_.*)?)?)")
"""Variables that Kubernetes and old Docker links inject for a service called `signalpost`."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. A `secret` setting may also come from a file, as `<key>_file`."""

    key: str
    read: readers.Reader
    secret: bool = False
    listed: bool = False

    @property
    def variable(self) -> str:
        return PREFIX + self.key.upper().replace(".", "__")


def _ttl(name: str) -> Setting:
    return Setting(f"turn.ttl.{name}", readers.integer(1, 86_400))


def _listed(key: str, read: readers.Reader, *, secret: bool = False) -> Setting:
    return Setting(key, readers.listing(read), secret=secret, listed=True)


_COUNT = readers.integer(1, 1_000_000)

SETTINGS: tuple[Setting, ...] = (
    Setting("http.host", readers.host),
    Setting("http.port", readers.integer(0, 65_535)),
    Setting("http.public_name", readers.optional(readers.dns_name)),
    _listed("http.allowed_origins", readers.origin),
    _listed("http.trusted_proxies", readers.network),
    Setting("http.drain", readers.integer(0, 3_600)),
    Setting("metrics.host", readers.host),
    Setting("metrics.port", readers.optional(readers.integer(1, 65_535), frozenset({"0"}))),
    _listed("turn.secrets", readers.secret(MIN_SECRET_BYTES), secret=True),
    _listed("turn.relays", readers.relay),
    _ttl("native"),
    _ttl("page"),
    _ttl("guest"),
    _ttl("cap"),
    Setting("auth.guests", readers.choice(Guests)),
    _listed("auth.api_keys", readers.secret(MIN_SECRET_BYTES), secret=True),
    _listed("auth.token_keys", readers.secret(tokens.MIN_KEY_BYTES), secret=True),
    Setting("auth.id_key", readers.secret(MIN_SECRET_BYTES), secret=True),
    Setting("limits.mints_per_user", readers.rate),
    Setting("limits.mints_per_address", readers.rate),
    Setting("limits.message_bytes", readers.integer(1_024, 1_048_576)),
    Setting("limits.messages", readers.rate),
    Setting("limits.message_burst", _COUNT),
    Setting("limits.connections", _COUNT),
    Setting("limits.connections_per_address", _COUNT),
    Setting("limits.peers_per_user", _COUNT),
    Setting("limits.peers_per_room", _COUNT),
    Setting("limits.rooms_per_peer", _COUNT),
    Setting("hooks.url", readers.optional(readers.hook_url)),
    Setting("hooks.secret", readers.hook_secret, secret=True),
    _listed("hooks.events", readers.choice(HookEvent)),
    Setting("log.format", readers.choice(LogFormat)),
    Setting("log.level", readers.choice(LogLevel)),
)

_BY_KEY = {setting.key: setting for setting in SETTINGS}
_NULL_MEANS_DEFAULT = frozenset(_BY_KEY) - {"http.public_name", "metrics.port", "hooks.url"}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake to fix. `place` is `file:line` or a variable's name; `key` is None if the mistake
    isn't about a single setting.
    """

    place: str
    key: str | None
    problem: str

    def __str__(self) -> str:
        parts = [part for part in (self.place, self.key) if part]
        return f"{': '.join(parts)} {self.problem}" if self.key else f"{self.place}: {self.problem}"


class ConfigError(Exception):
    """The configuration is unusable. `mistakes` has every reason, in order."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, mistakes)))


@dataclass(frozen=True, slots=True)
class _Given:
    """A setting's value as given: its node, and the place to report if it's wrong.

    `secret_file` is the folder that a `_file` path is relative to, None if the node is the value.
    """

    setting: Setting
    node: yaml.Node
    source: str
    lines: bool
    secret_file: Path | None = None

    def place(self, node: yaml.Node) -> str:
        return f"{self.source}:{node.start_mark.line + 1}" if self.lines else self.source

    @property
    def key(self) -> str:
        return self.setting.key + ("_file" if self.secret_file is not None else "")


def find_config(environ: Mapping[str, str]) -> Path | None:
    """The default file: $SIGNALPOST_CONFIG, otherwise the first one that exists."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    return next((path for path in SEARCHED if path.is_file()), None)


def load(
    path: Path | None,
    environ: Mapping[str, str],
    opening: Callable[[Path], object] = lambda path: None,
) -> Settings:
    """Settings from the file (None: no file) and the environment.

    `opening` is called with each file just before it's read, even if reading fails.
    Raises ConfigError with all mistakes.
    """
    mistakes: list[Mistake] = []
    given: dict[str, _Given] = {}
    if path is not None:
        opening(path)
        given.update(_from_file(path, mistakes))
    unread = any(not mistake.key for mistake in mistakes)
    given.update(_from_environment(environ, mistakes))
    values: dict[str, Any] = {}
    broken: set[str] = set()
    for key, entry in given.items():
        try:
            values[key] = _value(entry, opening)
        except readers.Unusable as unusable:
            broken.add(key)
            for node, below, problem in unusable.problems:
                mistakes.append(Mistake(entry.place(node), entry.key + below, problem))
    settings = _assemble(values)
    if not unread:  # otherwise settings in an unreadable file would count as missing
        mistakes += _missing(settings, path, broken)
    if mistakes:
        raise ConfigError(mistakes)
    return settings


def _compose(text: str) -> yaml.Node | None:
    """The document's nodes. Raises yaml.YAMLError.

    libyaml composes by recursion on the C stack, so the depth is checked first: a file full of
    brackets would crash the process.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark = cast(yaml.Mark, event.start_mark)
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH}", problem_mark=mark)
    loader = yaml.CSafeLoader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _syntax(error: Exception) -> tuple[int | None, str]:
    """Line and reason of a YAML error, without any of the text: it may hold a secret."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return (mark.line + 1 if mark else None), f"is not YAML: {reason}"


def _from_file(path: Path, mistakes: list[Mistake]) -> Iterator[tuple[str, _Given]]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            problem = f"has more than {MAX_BYTES} bytes, so it isn't a configuration file"
            mistakes.append(Mistake(str(path), None, problem))
            return
        root = _compose(text.decode("utf-8"))
    except OSError as error:
        mistakes.append(Mistake(str(path), None, f"cannot be read: {error.strerror}"))
        return
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line, reason = _syntax(error)
        mistakes.append(Mistake(f"{path}:{line}" if line else str(path), None, reason))
        return
    if root is None or readers.is_null(root):
        return
    yield from _section(root, "", path, mistakes)


def _section(
    node: yaml.Node, prefix: str, path: Path, mistakes: list[Mistake]
) -> Iterator[tuple[str, _Given]]:
    def place(at: yaml.Node) -> str:
        return f"{path}:{at.start_mark.line + 1}"

    if readers.is_null(node):
        return
    accepted = _accepted(prefix)
    if not isinstance(node, yaml.MappingNode):
        problem = f"must be a mapping with the keys {', '.join(sorted(accepted))}"
        mistakes.append(Mistake(place(node), prefix.rstrip("."), problem))
        return
    problems: list[readers.Problem] = []
    seen: set[str] = set()
    for name, key_node, value in readers.entries(node, problems):
        key = prefix + name
        if name not in accepted:
            problem = f"is unknown; {readers.suggestion(name, accepted)}"
            mistakes.append(Mistake(place(key_node), key, problem))
        elif key in _BY_KEY or key.removesuffix("_file") in _BY_KEY:
            setting = _BY_KEY.get(key) or _BY_KEY[key.removesuffix("_file")]
            if readers.is_null(value) and setting.key in _NULL_MEANS_DEFAULT:
                continue
            if setting.key in seen:
                problem = f"is given together with {setting.key}_file; keep one of the two"
                mistakes.append(Mistake(place(key_node), setting.key, problem))
            seen.add(setting.key)
            folder = path.parent if key != setting.key else None
            yield setting.key, _Given(setting, value, str(path), True, folder)
        else:
            yield from _section(value, key + ".", path, mistakes)
    mistakes += [
        Mistake(place(at), prefix + below.removeprefix("."), text) for at, below, text in problems
    ]


def _accepted(prefix: str) -> set[str]:
    """The keys that a section may have: settings, their `_file` forms, and further sections."""
    names: set[str] = set()
    for setting in SETTINGS:
        if setting.key.startswith(prefix):
            name = setting.key.removeprefix(prefix).split(".")[0]
            names.add(name)
            if setting.secret and setting.key == prefix + name:
                names.add(name + "_file")
    return names


def _from_environment(
    environ: Mapping[str, str], mistakes: list[Mistake]
) -> Iterator[tuple[str, _Given]]:
    known = {setting.variable: (setting, False) for setting in SETTINGS}
    known |= {f"{s.variable}_FILE": (s, True) for s in SETTINGS if s.secret}
    seen: set[str] = set()
    injected = environ.get("SIGNALPOST_PORT", "").startswith("tcp://")
    for name in sorted(environ):
        text = environ[name]
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or name.endswith("_IMAGE"):
            continue
        if injected and _INJECTED.fullmatch(name):
            if name == "SIGNALPOST_PORT":
                problem = (
                    f"{text!r} isn't a setting: an orchestrator injected it for a service called"
                    " `signalpost`. Set enableServiceLinks: false or rename that service. To set"
                    " the port to listen on, use SIGNALPOST_HTTP__PORT"
                )
                mistakes.append(Mistake(name, None, problem))
            continue
        if name not in known:
            # Without the common prefix, which would make any two names similar.
            short = {variable.removeprefix(PREFIX) for variable in known}
            meant = readers.closest(name.removeprefix(PREFIX), short)
            how = f"did you mean {PREFIX}{meant}?" if meant else "docs/configuration.md lists them"
            mistakes.append(Mistake(name, None, f"isn't a setting; {how}"))
            continue
        setting, from_file = known[name]
        if not text:  # an empty variable is unset: compose writes ${NAME:-}
            continue
        if setting.key in seen:
            problem = f"is given together with {setting.variable}; keep one of the two"
            mistakes.append(Mistake(name, None, problem))
            continue
        seen.add(setting.key)
        node: yaml.Node | None = yaml.ScalarNode("tag:yaml.org,2002:str", text)
        if setting.listed and not from_file:
            try:
                node = _compose(text)
            except yaml.YAMLError as error:
                mistakes.append(Mistake(name, None, _syntax(error)[1]))
                continue
        if node is not None:
            yield setting.key, _Given(setting, node, name, False, Path() if from_file else None)


def _value(given: _Given, opening: Callable[[Path], object]) -> Any:
    """The value of a setting. A `_file` is opened here. Raises Unusable."""
    if given.secret_file is None:
        return given.setting.read(given.node)
    if not isinstance(given.node, yaml.ScalarNode):
        raise readers.Unusable([(given.node, "", "is not a path")])
    path = given.secret_file / given.node.value
    opening(path)
    try:
        lines = read_secret_file(path)
    except SecretFileError as error:
        raise readers.Unusable([(given.node, "", str(error))]) from None
    if not given.setting.listed and len(lines) > 1:
        raise readers.Unusable(
            [(given.node, "", f"{path} must have one line, but has {len(lines)}")]
        )
    nodes = [yaml.ScalarNode("tag:yaml.org,2002:str", line) for line in lines]
    node = yaml.SequenceNode("tag:yaml.org,2002:seq", nodes) if given.setting.listed else nodes[0]
    try:
        return given.setting.read(node)
    except readers.Unusable as unusable:
        # Values in a list are counted from 1, like the lines of the file.
        problems = [
            (given.node, "", f"{path}{_ordinal(below)} {text}")
            for _, below, text in unusable.problems
        ]
        raise readers.Unusable(problems) from None


def _ordinal(below: str) -> str:
    return f", value {int(below.strip('[]')) + 1}" if below else ""


def _assemble(values: Mapping[str, Any]) -> Settings:
    def below(prefix: str) -> dict[str, Any]:
        cut = len(prefix)
        return {
            key[cut:]: value
            for key, value in values.items()
            if key.startswith(prefix) and "." not in key[cut:]
        }

    return Settings(
        http=Http(**below("http.")),
        metrics=MetricsListener(**below("metrics.")),
        turn=Turn(ttl=TtlPolicy(**below("turn.ttl.")), **below("turn.")),
        auth=Auth(**below("auth.")),
        limits=Limits(**below("limits.")),
        hooks=Hooks(**below("hooks.")),
        log=Log(**below("log.")),
    )


def _missing(settings: Settings, path: Path | None, broken: set[str]) -> Iterator[Mistake]:
    """Mistakes in the settings as a whole. A `broken` setting isn't reported as missing too."""
    place = str(path) if path else "no configuration file"
    how = "run `turnctl init` to create one, or set"
    if not settings.turn.secrets and "turn.secrets" not in broken:
        yield Mistake(place, "turn.secrets", f"is missing: {how} turn.secrets_file")
    if settings.auth.id_key is None and "auth.id_key" not in broken:
        why = "it makes the stable opaque ids of users and guests"
        yield Mistake(place, "auth.id_key", f"is missing ({why}): {how} auth.id_key_file")
    nobody = not settings.auth.api_keys and not settings.auth.token_keys
    if settings.auth.guests is Guests.OFF and nobody and not broken:
        yield Mistake(
            place,
            "auth.guests",
            "is off, and there are no api_keys or token_keys, so nobody can connect",
        )
    if settings.hooks.url and settings.hooks.secret is None and "hooks.secret" not in broken:
        why = "the receiver verifies web hooks with it"
        yield Mistake(
            place, "hooks.secret", f"is missing ({why}): make one with: {hooksecret.MAKE}"
        )
    ttl = settings.turn.ttl
    for name in ("native", "page", "guest"):
        if getattr(ttl, name) > ttl.cap and not broken:
            problem = f"is {getattr(ttl, name)}, but turn.ttl.cap is only {ttl.cap}"
            yield Mistake(place, f"turn.ttl.{name}", problem)


def show(settings: Settings) -> str:
    """The effective settings as YAML, secrets masked."""
    return yaml.dump(_plain(settings), sort_keys=False, allow_unicode=True, Dumper=yaml.CSafeDumper)


def _plain(value: object) -> Any:
    match value:
        case Secret():
            return "***"
        case Enum():
            return value.value
        case Rate():
            return str(value)
        case tuple():
            return [_plain(element) for element in value]
        case None | bool() | int() | str():
            return value
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
