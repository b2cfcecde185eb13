"""A web server of the operator's in front of the service, by the snippets of docs/deploy.md: each
is read out of the page, given the test's certificate and run as it stands.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import netns
from tests.lab.certs import Authority, Certificate
from tests.lab.deployment import wait_until
from tests.lab.docker import ROOT
from tests.lab.names import names
from tests.lab.netns import SERVER, Internet, Namespace
from tests.lab.parts import find, require
from tests.lab.programs import accepts, started

DOCUMENT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
NAME = "calls.example.org"
SIGNALPOST = str(Path(sys.executable).with_name("signalpost"))
PROXIES = {"nginx": "nginx", "caddy": "caddy", "apache": "apache2"}
"""Language of the snippet → program."""
VERSION = {"nginx": ["nginx", "-v"], "caddy": ["caddy", "version"], "apache": ["apache2", "-v"]}
NGINX = """
daemon off; pid {home}/nginx.pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/1; proxy_temp_path {home}/2; fastcgi_temp_path {home}/3;
  uwsgi_temp_path {home}/4; scgi_temp_path {home}/5;
  {snippet}
}}
"""
CADDY = """
{{
  admin off
  auto_https disable_redirects
  storage file_system {home}/storage
}}
{snippet}
"""
MODULES = ["mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "proxy_wstunnel", "rewrite"]
APACHE = """
ServerName localhost
ServerRoot {home}
PidFile {home}/apache.pid
DefaultRuntimeDir {home}
Mutex file:{home}
ErrorLog /dev/stderr
Listen 443
{modules}
{snippet}
"""
# A guest's page behind its router: what it is given, and whether its WebSocket opens.
GUEST = """
import asyncio, json, ssl, sys
import aiohttp
async def main():
    context = ssl.create_default_context(cafile=sys.argv[1])
    page = {"Origin": "https://calls.example.org"}
    async with aiohttp.ClientSession("https://calls.example.org", headers=page) as session:
        async with session.get("/v1/ice-servers?shape=draft", ssl=context) as answer:
            user = (await answer.json(content_type=None))["username"].partition(":")[2]
        try:
            async with session.ws_connect(
                "/v1/signal", protocols=["signalpost.v1"], ssl=context
            ) as socket:
                await socket.send_json({"type": "hello"})
                heard = (await socket.receive_json(timeout=50))["type"]
        except aiohttp.WSServerHandshakeError as error:
            heard = error.status
        async with session.get("/v1/signal", ssl=context, headers={
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "signalpost.v1", "Upgrade": "websocket",
            "Connection": "Upgrade"}) as answer:
            code = None if answer.status == 101 else (await answer.json(content_type=None))["code"]
    print(json.dumps({"user": user, "heard": heard, "code": code}))
asyncio.run(main())
"""


def snippet(language: str) -> str:
    """The one block of this language in the section about proxies."""
    section = DOCUMENT.split("## Behind a proxy of your own\n")[1].split("\n## ")[0]
    (found,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(found)


@dataclass(frozen=True, slots=True)
class Place:
    """The server's namespace, with a certificate for NAME."""

    internet: Internet
    certificate: Certificate
    root: Path
    home: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("proxies")
    with netns.internet() as internet:
        yield Place(internet, authority.issue([NAME]), authority.root, home)


@contextlib.contextmanager
def service(server: Namespace, home: Path, trusted: list[str]) -> Iterator[Path]:
    """Signalpost as the page says, a file of its own apart; yields its log."""
    settings = {
        "http": {
            "host": "127.0.0.1",
            "port": 8080,
            "public_name": NAME,
            "trusted_proxies": trusted,
        },
        "metrics": {"port": None},
        "turn": {"secrets": ["a-turn-secret-0123456789"], "relays": [{"host": NAME}]},
        "auth": {"id_key": "an-id-key-of-the-lab"},
        "limits": {"mints_per_user": "4/h"},
    }
    home.mkdir()
    path, log = home / "signalpost.yaml", home / "signal.log"
    path.write_text(json.dumps(settings))
    argv = [SIGNALPOST, "serve", "--config", str(path)]
    with started(
        argv, log, ready=lambda: accepts("127.0.0.1", 8080, server.name), namespace=server.name
    ):
        yield log


def command(kind: str, text: str, home: Path) -> list[str]:
    """How the proxy is started with this snippet; its other files lie in `home`."""
    program = str(find(PROXIES[kind]))
    file = home / f"{kind}.conf"
    match kind:
        case "nginx":
            file.write_text(NGINX.format(home=home, snippet=text))
            return [program, "-c", str(file), "-e", "stderr"]
        case "caddy":
            file.write_text(CADDY.format(home=home, snippet=text))
            return [program, "run", "--adapter", "caddyfile", "--config", str(file)]
        case _:
            folder = "/usr/lib/apache2/modules"
            modules = "\n".join(
                f"LoadModule {name}_module {folder}/mod_{name}.so" for name in MODULES
            )
            file.write_text(APACHE.format(home=home, modules=modules, snippet=text))
            return [program, "-d", str(home), "-f", str(file), "-DFOREGROUND"]


@contextlib.contextmanager
def proxy(kind: str, place: Place, home: Path, text: str) -> Iterator[None]:
    require(PROXIES[kind], "ip", root=True)
    text = text.replace("/etc/ssl/calls/fullchain.pem", str(place.certificate.chain))
    text = text.replace("/etc/ssl/calls/privkey.pem", str(place.certificate.key))
    server = place.internet.server
    with started(
        command(kind, text, home),
        home / f"{kind}.log",
        ready=lambda: accepts(SERVER, 443, server.name),
        namespace=server.name,
    ):
        yield


def guest(place: Place) -> dict[str, object]:
    """What a guest behind a router of its own sees of the service."""
    site = place.internet.join("port-restricted")
    with names(site.client, NAME, [SERVER]):
        done = site.run([sys.executable, "-c", GUEST, str(place.root)])
    assert done.returncode == 0, done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("kind", PROXIES)
def test_the_snippet_works(kind: str, place: Place, tmp_path: Path) -> None:
    """Guests reach the service by the proxy's name, over WebSocket too, each by an address of its
    own.
    """
    server = place.internet.server
    with (
        service(server, tmp_path / "service", ["127.0.0.1"]),
        proxy(kind, place, tmp_path, snippet(kind)),
    ):
        one, other = guest(place), guest(place)
    assert ["welcome", "welcome"] == [one["heard"], other["heard"]]
    assert one["user"] != other["user"]


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        ("nginx", r"\n *proxy_set_header (Upgrade|Connection) [^\n]*"),
        ("nginx", r"\n *proxy_set_header Upgrade [^\n]*"),
        ("nginx", r"\n *proxy_set_header Connection [^\n]*"),
        ("apache", r"\n *Rewrite[^\n]*"),
    ],
)
def test_a_proxy_that_drops_the_upgrade(
    kind: str, without: str, place: Place, tmp_path: Path
) -> None:
    """The refusal has a code of its own."""
    text, dropped = re.subn(without, "", snippet(kind))
    assert dropped
    server = place.internet.server
    with (
        service(server, tmp_path / "service", ["127.0.0.1"]),
        proxy(kind, place, tmp_path, text),
    ):
        seen = guest(place)
    assert "upgrade-header-missing" == seen["code"]
    assert "welcome" != seen["heard"]


def test_a_proxy_that_is_not_trusted(place: Place, tmp_path: Path) -> None:
    """Everybody behind it is one guest. When that guest's limit is reached, the refusal and one
    line of the log name the setting.
    """
    server = place.internet.server
    with (
        service(server, tmp_path / "service", []) as log,
        proxy("caddy", place, tmp_path, snippet("caddy")),
    ):
        one, other = guest(place), guest(place)
        assert one["user"] == other["user"]
        refused = [
            server.run(
                [
                    *("curl", "-sk", "--resolve", f"{NAME}:443:{SERVER}"),
                    *("-H", f"Origin: https://{NAME}", f"https://{NAME}/v1/ice-servers"),
                ]
            ).stdout
            for _ in range(2)
        ]
        wait_until(lambda: warnings(log), log.read_text)  # it writes its lines in batches
    for body in refused:
        assert "rate-limited" == json.loads(body)["code"]
        assert "http.trusted_proxies" in json.loads(body)["detail"]
    assert [("warning", "127.0.0.1")] == [(line["level"], line["proxy"]) for line in warnings(log)]


def warnings(log: Path) -> list[dict[str, str]]:
    """What the service has said so far about proxies that it does not trust."""
    whole = log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines() if "trusted_proxies" in line]


@pytest.mark.parametrize("kind", PROXIES)
def test_the_version_that_the_page_names(kind: str) -> None:
    """The page says which version was tested: the one here."""
    require(PROXIES[kind])
    said = subprocess.run(VERSION[kind], capture_output=True, text=True, check=True)
    number = re.search(r"(\d+\.\d+)\.\d+", said.stdout + said.stderr)
    assert number
    assert re.search(rf"\*\*{kind}\*\* \(tested with {re.escape(number[1])}\)", DOCUMENT, re.I)
