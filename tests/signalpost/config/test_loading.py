"""Configuration: sources, precedence, and mistakes that say where and what."""

from __future__ import annotations

import os
import re
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml

from signalpost.config.loading import SETTINGS, ConfigError, find_config, load, show
from signalpost.config.settings import Guests, HookEvent, Hooks, LogFormat, Settings
from signalpost.credentials import Secret
from signalpost.iceservers import Relay
from signalpost.limits import Rate

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"
ENOUGH = """\
turn:
  secrets: [a-turn-secret-0123456789]
auth:
  id_key: an-id-key-0123456789
"""
TURN_SECRET = "a-turn-secret-0123456789"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _secret_file(path: Path, content: str, mode: int = 0o600) -> None:
    path.write_text(content)
    path.chmod(mode)


def _load(folder: Path, text: str, **environ: str) -> Settings:
    path = folder / "signalpost.yaml"
    path.write_text(text)
    return load(path, environ)


def _mistakes(folder: Path, text: str, **environ: str) -> list[str]:
    """The lines the user sees, without the folder."""
    with pytest.raises(ConfigError) as refused:
        _load(folder, text, **environ)
    return [str(mistake).replace(f"{folder}/", "") for mistake in refused.value.mistakes]


def test_defaults(folder: Path) -> None:
    """The defaults are as documented."""
    settings = _load(folder, ENOUGH)
    assert (settings.http.host, settings.http.port, settings.metrics.port) == (
        "127.0.0.1",
        8080,
        9464,
    )
    assert settings.turn.ttl.page == 14_400
    assert settings.auth.guests is Guests.SAME_ORIGIN


def test_everything_from_a_file(folder: Path) -> None:
    """Every kind of value is read from YAML."""
    text = """\
http:
  host: "::"
  port: 9000
  public_name: Turn.Example.org
  allowed_origins: [https://app.example.org, "http://localhost:3000"]
  trusted_proxies: [10.0.0.0/8, "::1"]
metrics: {port: null}
turn:
  secrets: [a-turn-secret-0123456789, another-secret-0123456789]
  relays:
    - {host: turn.example.org, udp: 3478, tcp: null, tls: 5349, region: eu}
    - host: "[2001:db8::1]"
  ttl: {guest: 60}
auth:
  guests: off
  api_keys: [an-api-key-0123456789]
  id_key: an-id-key-0123456789
hooks:
  url: https://app.example.org/hooks
  secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
  events: [call.ended]
limits: {mints_per_user: 5/h}
log: {format: json}
"""
    settings = _load(folder, text)
    assert (settings.http.host, settings.http.public_name) == ("::", "turn.example.org")
    assert settings.http.allowed_origins == ("https://app.example.org", "http://localhost:3000")
    assert settings.http.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert settings.metrics.port is None
    assert settings.turn.relays == (
        Relay("turn.example.org", 3478, None, 5349, "eu"),
        Relay("2001:db8::1"),
    )
    assert settings.turn.secrets[0] == Secret(TURN_SECRET)
    assert (settings.turn.ttl.guest, settings.auth.guests) == (60, Guests.OFF)
    assert settings.limits.mints_per_user == Rate(5, 3600)
    assert settings.hooks == Hooks(
        "https://app.example.org/hooks",
        Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (HookEvent.CALL_ENDED,),
    )
    assert settings.log.format is LogFormat.JSON


def test_environment_beats_file(folder: Path) -> None:
    """A variable replaces what the file says; an empty one does not."""
    settings = _load(
        folder,
        ENOUGH + "http: {port: 1000, host: 192.0.2.1}\n",
        SIGNALPOST_HTTP__PORT="2000",
        SIGNALPOST_HTTP__HOST="",
        SIGNALPOST_TURN__RELAYS='[{"host": "t.example.org", "tcp": null}]',
        SIGNALPOST_METRICS__PORT="0",
    )
    assert (settings.http.port, settings.http.host) == (2000, "192.0.2.1")
    assert settings.turn.relays == (Relay("t.example.org", tcp=None),)
    assert settings.metrics.port is None


def test_environment_alone(folder: Path) -> None:
    """No file is needed."""
    environ = {
        "SIGNALPOST_TURN__SECRETS": f'["{TURN_SECRET}"]',
        "SIGNALPOST_AUTH__ID_KEY": "12345678901234567890",
        "SIGNALPOST_IMAGE": "ignored",
        "SIGNALPOST_OTHER_IMAGE": "ignored",
        "PATH": "ignored",
    }
    assert load(None, environ).auth.id_key == Secret("12345678901234567890")


def test_secret_files(folder: Path) -> None:
    """Secret files hold a value a line; paths go by the file's folder, or the working one."""
    (folder / "conf").mkdir()
    _secret_file(folder / "conf" / "turn-secret", f"{TURN_SECRET}\r\n\nsecond-secret-0123456789\n")
    _secret_file(folder / "id-key", "an-id-key-0123456789\n")
    path = folder / "conf" / "signalpost.yaml"
    path.write_text("turn: {secrets_file: turn-secret}\nauth: {id_key: overridden}\n")
    settings = load(path, {"SIGNALPOST_AUTH__ID_KEY_FILE": "id-key"})
    expected = (Secret(TURN_SECRET), Secret("second-secret-0123456789"))
    assert settings.turn.secrets == expected
    assert settings.auth.id_key == Secret("an-id-key-0123456789")


def test_every_mistake_at_once(folder: Path) -> None:
    """All mistakes are reported together, each with its line and key."""
    text = """\
http:
  prot: 80
  port: many
  public_name: https://turn.example.org
  allowed_origins: ["*"]
  port: 81
turn:
  secrets: [changeme]
  relays:
    - {host: "turn:example.org", udp: 70000}
    - {host: t.example.org, udp: null, tcp: null}
    - {hots: t.example.org}
logs: {}
"""
    assert _mistakes(folder, text, SIGNALPOST_LOG__LEVEL="loud", SIGNALPOST_HTP__PORT="1") == [
        "signalpost.yaml:2: http.prot is unknown; did you mean port?",
        "signalpost.yaml:6: http.port is given twice, first on line 3",
        "signalpost.yaml:13: logs is unknown; did you mean log?",
        "SIGNALPOST_HTP__PORT: isn't a setting; did you mean SIGNALPOST_HTTP__PORT?",
        "signalpost.yaml:3: http.port 'many' is not a whole number from 0 to 65535",
        "signalpost.yaml:4: http.public_name 'https://turn.example.org' is not a DNS name;"
        " write only the name, such as turn.example.org",
        "signalpost.yaml:5: http.allowed_origins[0] '*' is not an origin such as"
        " https://app.example.org (no path, no *; an empty list admits every origin)",
        "signalpost.yaml:8: turn.secrets[0] is refused: it has 8 characters, and at least 16 are"
        " needed",
        "signalpost.yaml:10: turn.relays[0].host 'turn:example.org' must be a host name or an"
        " address, without a port",
        "signalpost.yaml:10: turn.relays[0].udp '70000' is not a whole number from 1 to 65535",
        "signalpost.yaml:11: turn.relays[1] has no port: set udp, tcp or tls",
        "signalpost.yaml:12: turn.relays[2].hots is unknown; did you mean host?",
        "SIGNALPOST_LOG__LEVEL: log.level 'loud' is unknown; accepted: debug, error, info, warning",
        "signalpost.yaml: auth.id_key is missing (it makes the stable opaque ids of users and"
        " guests): run `turnctl init` to create one, or set auth.id_key_file",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [", "signalpost.yaml:2: is not YAML"),
        ("[" * 100_000, "signalpost.yaml:1: is not YAML: nested deeper than 20"),
        ("\ta: 1", "signalpost.yaml:1: is not YAML"),
        ("just text", "signalpost.yaml:1: must be a mapping with the keys auth, hooks, http"),
        ("- a", "signalpost.yaml:1: must be a mapping"),
        ("http: 8080", "signalpost.yaml:1: http must be a mapping with the keys allowed_origins"),
        ("---\n---\n", "signalpost.yaml:2: is not YAML"),
        ("turn: {relays: turn.example.org}", "turn.relays is not a list"),
        ("turn: {relays: [turn.example.org]}", "turn.relays[0] is not a relay"),
        ("http: {port: [1]}", "http.port is not a whole number"),
        ("http: {trusted_proxies: [10.0.0.1/8]}", "'10.0.0.1/8' is not an address or a network"),
        ("limits: {messages: 10}", "'10' is not a rate such as 60/min"),
        ("auth: {token_keys: [only-20-characters-x]}", "needs at least 32 characters"),
        ("auth: {guests: of}", "'of' is unknown; did you mean off?"),
        ("auth: {guests: off}", "so nobody can connect"),
        ("hooks: {url: app.example.org}", "hooks.url is not a URL such as https://"),
        ("hooks: {url: 'ftp://app.example.org/'}", "hooks.url is not a URL such as https://"),
        ("hooks: {url: 'https://app.example.org:70000/'}", "hooks.url is not a URL"),
        ("hooks: {url: 'https://u:p@app.example.org/'}", "must not have a user or password in it"),
        ("hooks: {url: 'https://app.example.org/'}", "hooks.secret is missing (the receiver"),
        (
            "hooks: {secret: a-turn-secret-0123456789-012345}",
            "hooks.secret is refused: it must be whsec_",
        ),
        ("hooks: {secret: whsec_c2hvcnQ=}", "the base64 of 24 to 64 random bytes"),
        (f"hooks: {{secret: whsec_{'A' * 32}}}", "it repeats a few bytes"),
        ("hooks: {events: [room.open]}", "hooks.events[0] 'room.open' is unknown; did you mean"),
        ("turn: {ttl: {page: 600, cap: 60}}", "turn.ttl.page is 600, but turn.ttl.cap is only 60"),
        ("turn: {ttl: {cap: 999999}}", "'999999' is not a whole number from 1 to 86400"),
        ("turn: {secrets: [x], secrets_file: y}", "turn.secrets is given together with"),
        ("turn: {secrets_file: nowhere}", "nowhere cannot be read: No such file or directory"),
        ("turn: {secrets_file: .}", "is not a regular file"),
        ("turn: {secrets_file: empty}", "empty is empty"),
        ("turn: {secrets_file: open}", "open to other users (mode 0644): chmod 600"),
        ("turn: {secrets_file: weak}", "weak, value 2 is refused: it has 4 characters"),
        ("auth: {id_key_file: two}", "two must have one line, but has 2"),
        ("turn: {secrets_file: fifo}", "is not a regular file"),
        ("turn: {secrets_file: huge}", "so it isn't a secret file"),
        ("http: {host_file: x}", "http.host_file is unknown"),
        ("{}", "turn.secrets is missing: run `turnctl init`"),
    ],
)
def test_mistakes(folder: Path, text: str, expected: str) -> None:
    """Each mistake is one line that says where, what and what is accepted."""
    _secret_file(folder / "empty", "\n")
    _secret_file(folder / "open", f"{TURN_SECRET}\n", 0o644)
    _secret_file(folder / "weak", f"{TURN_SECRET}\nweak\n")
    _secret_file(folder / "two", f"{TURN_SECRET}\n{TURN_SECRET}\n")
    _secret_file(folder / "huge", "x" * 100_000)
    os.mkfifo(folder / "fifo", 0o600)
    mistakes = _mistakes(folder, text)
    assert [line for line in mistakes if expected in line], mistakes
    assert not [line for line in mistakes if "\n" in line]


def test_secrets_are_not_repeated(folder: Path) -> None:
    """A refused secret does not appear in the message that refuses it."""
    text = f"turn: {{secrets: ['{TURN_SECRET} x']}}\nauth: {{id_key: short-Key}}\n"
    shown = "\n".join(_mistakes(folder, text, SIGNALPOST_AUTH__API_KEYS="['short-Api'"))
    assert "secrets[0] is refused" in shown
    assert not re.search(f"{TURN_SECRET}|short-Key|short-Api", shown)


def test_unreadable_file(folder: Path) -> None:
    """A configuration file that is not there is one mistake."""
    with pytest.raises(ConfigError) as refused:
        load(folder / "nowhere.yaml", {})
    (mistake,) = refused.value.mistakes
    assert str(mistake).endswith("nowhere.yaml: cannot be read: No such file or directory")


def test_a_variable_like_no_setting(folder: Path) -> None:
    """The prefix that all have in common makes no word like another."""
    assert _mistakes(folder, "", SIGNALPOST_FOO="1")[0] == (
        "SIGNALPOST_FOO: isn't a setting; docs/configuration.md lists them"
    )


def test_orchestrators_variables(folder: Path) -> None:
    """Variables that Kubernetes injects are explained once, not reported one by one."""
    mistakes = _mistakes(
        folder,
        ENOUGH,
        SIGNALPOST_PORT="tcp://10.0.0.1:8080",
        SIGNALPOST_PORT_8080_TCP_ADDR="10.0.0.1",
        SIGNALPOST_SERVICE_HOST="10.0.0.1",
        SIGNALPOST_SERVICE_PORT_HTTP="8080",
    )
    assert len(mistakes) == 1
    assert "an orchestrator injected it" in mistakes[0]
    assert "SIGNALPOST_HTTP__PORT" in mistakes[0]


def test_find_config(folder: Path) -> None:
    """The variable decides; else the local folder is looked into."""
    assert find_config({"SIGNALPOST_CONFIG": "/some/where"}) == Path("/some/where")
    (folder / ".signalpost").mkdir()
    (folder / ".signalpost" / "signalpost.yaml").write_text(ENOUGH)
    assert find_config({}) == Path(".signalpost/signalpost.yaml")


def test_show_masks_secrets_and_loads_again(folder: Path) -> None:
    """The output has every setting and no secret, and is valid YAML."""
    shown = show(_load(folder, ENOUGH))
    assert TURN_SECRET not in shown
    assert yaml.safe_load(shown)["turn"]["secrets"] == ["***"]
    assert set(_leaves(yaml.safe_load(shown))) == {setting.key for setting in SETTINGS}


def _leaves(tree: object, prefix: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return [prefix]
    below = ((f"{prefix}.{name}" if prefix else name, value) for name, value in tree.items())
    return [leaf for name, value in below for leaf in _leaves(value, name)]


def test_the_documents_example(folder: Path) -> None:
    """The example in the document loads."""
    for name in ("turn-secret", "api-key", "token-key", "id-key"):
        _secret_file(folder / name, f"{name}-0123456789-abcdefghijklmnop\n")
    example = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert example
    assert _load(folder, example[1]).http.public_name == "turn.example.org"
