"""Read an iceServers list as a browser does, member by member, and note what is wrong in each.

The document may be an RTCConfiguration, a plain list, or the answer of a service that wraps the
list. Each fault was tried in Chromium and Firefox (tests/referee/lists.py); `rules.listing` judges
it. A fault never hides the entries beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from signalpost.iceservers import IceServer, IceServersError

__all__ = ["MAX_USERNAME_BYTES", "Fault", "IceList", "Kind", "read"]

MAX_USERNAME_BYTES = 509
"""Chromium and Firefox throw at a longer one beside a TURN URL; coturn 4.18 accepts 508."""

Kind = Literal[
    "not-a-list",
    "wrapped",
    "wrapped-object",
    "entry-not-object",
    "nested-list",
    "urls-missing",
    "urls-empty",
    "urls-type",
    "urls-nested",
    "login-missing",
    "member-empty",
    "member-null",
    "member-type",
    "member-converted",
    "member-broken",
    "username-too-long",
    "credential-type",
]


@dataclass(frozen=True, slots=True)
class Fault:
    """`where` is the member, as in iceServers[0].credential; `detail` completes the sentence;
    `urls` are those of its entry.
    """

    kind: Kind
    where: str
    detail: str = ""
    urls: tuple[str, ...] = ()
    is_whole: bool = False
    """For a missing login: neither half is there, nor a member that may be meant for one."""


@dataclass(frozen=True, slots=True)
class IceList:
    """`places` gives the member in which each URL appears first."""

    servers: tuple[IceServer, ...]
    faults: tuple[Fault, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)


def read(document: object) -> IceList:
    """The list in the document. Raises IceServersError if there is none anywhere."""
    reader = _Reader()
    if isinstance(document, list):
        reader.entries(document, "")
    elif isinstance(document, dict):
        _from_object(reader, document)
    else:
        raise IceServersError("expected a JSON object or a list of iceServers")
    return IceList(tuple(reader.servers), tuple(reader.faults), reader.places)


# --- where the list is -------------------------------------------------------------------------

_OTHER_NAMES = ("ice_servers", "iceservers", "iceserverlist", "ice-servers", "ice")
"""Names of the list in services' answers, in small letters: Twilio's, and others'. Browsers read
only iceServers."""
_ENTRY_NAMES = {"urls": ("uris", "uri", "urls"), "username": (), "credential": ("password",)}
_DEEPEST = 4


def _from_object(reader: _Reader, document: dict[str, Any]) -> None:
    if "iceServers" in document:
        reader.listed(document["iceServers"], "iceServers")
        return
    # An error that a service wraps like an answer has no list, and its text isn't one.
    for path, holder in _objects(document):
        for key, value in holder.items():
            name = key.lower()
            if name in ("iceservers", *_OTHER_NAMES) and isinstance(value, list | dict):
                where = f"{path}{key}"
                _wrapped(reader, where, isinstance(value, dict))
                reader.listed(value, where, wrapped=True)
                return
        groups = [key for key in ("stunservers", "turnservers") if key in holder]
        if groups:  # Nextcloud's
            both = ", ".join(f"...answer.{path}{key}" for key in groups)
            reader.fault("wrapped", path + groups[0], f"browsers want iceServers: [{both}]")
            for key in groups:
                reader.listed(holder[key] or [], f"{path}{key}", wrapped=True)
            return
        if "uris" in holder and isinstance(holder["uris"], list | str):  # the draft's, Matrix's
            at = f"answer.{path}"
            detail = (
                f"browsers want iceServers: [{{urls: {at}uris, username: {at}username, "
                f"credential: {at}password}}]"
            )
            reader.fault("wrapped", f"{path}uris", detail)
            reader.entry(_renamed(holder), f"{path}uris", draft=True)
            return
        if "urls" in holder or "url" in holder:
            whole = f"answer.{path}".rstrip(".")
            reader.fault(
                "wrapped", path.rstrip(".") or "the answer", f"browsers want iceServers: [{whole}]"
            )
            reader.entry(holder, path.rstrip(".") or "entry")
            return
    raise IceServersError("found none of iceServers, ice_servers, uris, urls, turnservers")


def _wrapped(reader: _Reader, where: str, is_object: bool) -> None:
    if is_object:
        detail = f"it is an object, but browsers want a list, iceServers: [answer.{where}]"
        reader.fault("wrapped-object", where, detail)
    else:
        reader.fault("wrapped", where, f"browsers want iceServers: answer.{where}")


def _objects(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The document and the objects in it, the outermost first, each with its path and a dot."""
    level = [("", document)]
    for _ in range(_DEEPEST):
        yield from level
        level = [
            (f"{path}{key}.", value)
            for path, holder in level
            for key, value in holder.items()
            if isinstance(value, dict)
        ]


def _renamed(item: dict[str, Any]) -> dict[str, Any]:
    """An entry with the names that browsers read, made from one with the draft's or AWS's."""
    names = {key.lower(): key for key in item}
    taken: dict[str, Any] = {}
    for right, others in _ENTRY_NAMES.items():
        for name in (right, *others):
            if name in names and right not in taken:
                taken[right] = item[names[name]]
    return taken


# --- entries -----------------------------------------------------------------------------------

_MISSPELT = {
    "urls": ("uri", "uris", "urls", "url", "server", "servers", "host", "hostname", "address"),
    "username": ("user", "username", "user_name", "name", "login", "userid"),
    "credential": (
        *("password", "pass", "passwd", "pwd", "cred", "creds", "credentials", "credential"),
        *("secret", "token", "key"),
    ),
}
"""Names in small letters under which people look for these members."""


class _Reader:
    def __init__(self) -> None:
        self.servers: list[IceServer] = []
        self.faults: list[Fault] = []
        self.places: dict[str, str] = {}

    def fault(self, kind: Kind, where: str, detail: str = "", urls: Sequence[str] = ()) -> None:
        self.faults.append(Fault(kind, where, detail, tuple(urls)))

    def listed(self, value: object, where: str, *, wrapped: bool = False) -> None:
        if isinstance(value, list):
            self.entries(value, where)
            return
        if not wrapped:
            self.fault("not-a-list", where, _described(value))
        if isinstance(value, dict) and value:
            if wrapped and not {"urls", "url"} & {*value}:
                value = _renamed(value)
            self.entry(value, where)

    def entries(self, items: Sequence[object], where: str) -> None:
        for index, item in enumerate(items):
            self.entry(item, f"{where}[{index}]")

    def entry(self, item: object, where: str, *, draft: bool = False) -> None:
        if not isinstance(item, dict):
            hint = f"{_described(item)} in place of an object"
            if isinstance(item, str) and not _broken(item):
                hint += f' (write {{"urls": "{item}"}})'
            self.fault("entry-not-object", where, hint)
            return
        if "iceServers" in item and not {"urls", "url"} & {*item}:
            self.fault("nested-list", where)
            inner = item["iceServers"]
            self.entries(inner if isinstance(inner, list) else [inner], f"{where}.iceServers")
            return
        if "Uris" in item and "urls" not in item:  # AWS's
            detail = "browsers read urls, username and credential, not Uris, Username and Password"
            self.fault("wrapped", where, detail)
            item = _renamed(item)
        urls = self._urls(item, where, draft)
        if not urls:
            return
        login = self._login(item, where, urls, draft)
        self.servers.append(IceServer(tuple(urls), *login))

    def _urls(self, item: dict[str, Any], where: str, draft: bool) -> list[str]:
        name = "urls" if "urls" in item else "url"
        value, member = item.get(name), where if draft else f"{where}.{name}"
        if name not in item:
            self.fault("urls-missing", where, _misspelling(item, "urls"))
            return []
        if name == "url" and not isinstance(value, str):
            # Browsers used to read only text; they turn anything else into text.
            value = None if value is None else _as_text(value)
        if isinstance(value, list) and len(value) == 0:
            self.fault("urls-empty", member)
            return []
        found: list[str] = []
        listed = value if isinstance(value, list) else [value]
        for index, one in enumerate(listed):
            at = f"{member}[{index}]" if isinstance(value, list) else member
            if isinstance(one, list) and len(one) == 1 and isinstance(one[0], str):
                self.fault("urls-nested", at)
                one = one[0]
            if not isinstance(one, str):
                self.fault("urls-type", at, _described(one))
            elif _broken(one):
                self.fault("member-broken", at)
            else:
                found.append(one)
                self.places.setdefault(one, at)
        return found

    def _login(
        self, item: dict[str, Any], where: str, urls: Sequence[str], draft: bool
    ) -> tuple[str | None, str | None]:
        """The user name and the password as a browser reads them, None where it reads none."""
        relays = any(_relays(url) for url in urls)
        given: dict[str, str | None] = {}
        missing: list[str] = []
        for name in ("username", "credential"):
            member = f"{where}.{name}"
            if name not in item or (draft and item[name] is None):
                given[name] = None
                missing.append(name)
                continue
            given[name] = self._member(item[name], member, urls if relays else None)
        if not relays:
            return given["username"], given["credential"]
        # If the login is in the URL, the URL's own fault says what to do.
        if missing and not all("@" in url for url in urls if _relays(url)):
            self._missing(item, where, urls, missing, draft)
        if draft is False and item.get("credentialType", "password") != "password":
            self.fault("credential-type", f"{where}.credentialType", urls=urls)
        username = given["username"]
        if username is not None and len(username.encode()) > MAX_USERNAME_BYTES:
            detail = f"{len(username.encode())} bytes"
            self.fault("username-too-long", f"{where}.username", detail, urls)
            return None, None
        return username, given["credential"]

    def _member(self, value: object, member: str, urls: Sequence[str] | None) -> str | None:
        """`urls` is None if there are only STUN URLs, which need no credential."""
        if isinstance(value, str) and not _broken(value):
            if value or urls is None:
                return value or None
            self.fault("member-empty", member, urls=urls)
            return None
        if urls is None:
            return None
        if value is None:
            self.fault("member-null", member, urls=urls)
        elif isinstance(value, str):
            self.fault("member-broken", member, urls=urls)
        elif (text := _as_text(value)) is None:
            self.fault("member-type", member, _described(value), urls)
        else:
            self.fault("member-converted", member, _described(value), urls)
            return text
        return None

    def _missing(
        self,
        item: dict[str, Any],
        where: str,
        urls: Sequence[str],
        missing: Sequence[str],
        draft: bool,
    ) -> None:
        what = " and ".join(missing)
        verb = "are" if len(missing) > 1 else "is"
        hints = [] if draft else [_misspelling(item, name) for name in missing]
        detail = "; ".join([f"{what} {verb} missing", *filter(None, hints)])
        whole = len(missing) == 2 and not any(hints)
        self.faults.append(Fault("login-missing", where, detail, tuple(urls), whole))


def _relays(url: str) -> bool:
    return url.strip().lower().startswith(("turn:", "turns:"))


def _misspelling(item: Mapping[str, Any], right: str) -> str:
    """The member that was probably meant, as the end of a sentence."""
    for name in item:
        if name != right and name.lower() in _MISSPELT[right] and name not in _MISSPELT:
            return f"{name} is there, but browsers read {right}"
    return ""


def _broken(text: str) -> bool:
    """Whether the text has half a character. JSON allows it, but it can't be sent."""
    return any("\ud800" <= one <= "\udfff" for one in text)


def _as_text(value: object) -> str | None:
    """The text that JavaScript makes of a JSON value, None if it is useless."""
    match value:
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        case int() | float():
            return str(value)
        case [str() as only] if not _broken(only):
            return only
    return None


def _described(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"
