"""The pages: who gets which, their headers, and their links to each other."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from signalpost.web.pages import PAGES, POLICY
from tests.browser.npm import node
from tests.signalpost.running import SETTINGS, running, settings
from turnctl.diagnosis.catalogue import CHECK

HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
ROOT = Path(__file__).parents[3]
STATIC = ROOT / "signal" / "signalpost" / "web" / "static"


@pytest.mark.parametrize(
    ("kind", "accept"),
    [
        ("text/html", HTML),
        ("text/html", "TEXT/HTML"),
        ("application/json", "*/*"),
        ("application/json", "application/json"),
        ("application/json", "text/htmlx"),
    ],
)
async def test_the_root(kind: str, accept: str) -> None:
    """A browser that navigates gets the call page, everything else what it got before."""
    async with running() as run, run.client.get("/", headers={"Accept": accept}) as response:
        assert (200, kind) == (response.status, response.content_type)


@pytest.mark.parametrize("path", ["/", "/check"])
async def test_headers_of_a_page(path: str) -> None:
    """The headers of a page, exactly."""
    async with running() as run, run.client.get(path, headers={"Accept": HTML}) as response:
        headers = dict(response.headers)
    for name in ("Date", "Content-Length", "Etag"):
        assert headers.pop(name)
    expected = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self)",
        "Referrer-Policy": "no-referrer",
        "Server": "signalpost",
        "X-Content-Type-Options": "nosniff",
    }
    assert expected | ({"Vary": "Accept"} if path == "/" else {}) == headers


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/client.js", "text/javascript; charset=utf-8"),
        ("/client.d.ts", "text/plain; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
async def test_types(path: str, kind: str) -> None:
    """Every file has the type a browser wants, since it may not guess."""
    async with running() as run, run.client.get(path) as response:
        assert (200, kind) == (response.status, response.headers["Content-Type"])


async def test_a_page_that_the_browser_has() -> None:
    """An unchanged page is not sent again, and its headers come along."""
    async with running() as run:
        async with run.client.get("/client.js") as response:
            tag = response.headers["Etag"]
        for known in (tag, f'"other", W/{tag}'):
            async with run.client.get("/client.js", headers={"If-None-Match": known}) as response:
                assert (304, b"", tag) == (
                    response.status,
                    await response.read(),
                    response.headers["Etag"],
                )
        async with run.client.get("/client.js", headers={"If-None-Match": '"old"'}) as response:
            assert 200 == response.status


@pytest.mark.parametrize(
    "path", ["/static/style.css", "/check/../client.js", "/check/", "/call/", "/%2e%2e/app.py"]
)
async def test_paths_that_are_none(path: str) -> None:
    """Only the files that were there at the start have an address, each one alone."""
    async with running() as run, run.client.get(path) as response:
        assert response.status == (200 if path == "/check/../client.js" else 404)


async def test_a_page_by_another_name() -> None:
    """Pages come by any name, to say what is wrong with it; nobody else's page may read them."""
    named = settings(http=replace(SETTINGS.http, public_name="turn.example.org"))
    async with running(named) as run:
        for origin, readable in (("https://turn.example.org", True), ("http://192.0.2.1", False)):
            headers = {"Origin": origin}
            async with run.client.get("/client.js", headers=headers) as response:
                assert 200 == response.status
                assert readable == ("Access-Control-Allow-Origin" in response.headers)


@pytest.mark.parametrize("page", ["index.html", "check.html"])
def test_nothing_inline(page: str) -> None:
    """The policy forbids scripts and styles in a page, so there are none."""
    text = (STATIC / page).read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text) == []


def test_imports_lead_to_files() -> None:
    """Every module that a page or a module asks for is served."""
    for path in PAGES:
        if not path.endswith(".js"):
            continue
        text = PAGES[path].body.decode()
        for name in re.findall(r'(?:from|import) "(\.[^"]+)"', text):
            target = (STATIC / path[1:]).parent.joinpath(name).resolve()
            assert f"/{target.relative_to(STATIC)}" in PAGES, f"{path} imports {name}"


def _words(folder: str) -> dict[str, dict[str, str]]:
    code = (
        f"import('{STATIC / folder / 'words.js'}').then(m => console.log(JSON.stringify(m.WORDS)))"
    )
    done = subprocess.run([node(), "-e", code], capture_output=True, text=True, check=True)
    words: dict[str, dict[str, str]] = json.loads(done.stdout)
    return words


@pytest.mark.parametrize(("folder", "page"), [("call", "index.html"), ("check", "check.html")])
def test_words(folder: str, page: str) -> None:
    """Both languages have the same words with the same blanks, and all that the page asks for."""
    words = _words(folder)
    english, chinese = words["en"], words["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", chinese[key])), key
    html = (STATIC / page).read_text()
    asked = set(re.findall(r'data-(?:words|label|placeholder)="([^"]+)"', html))
    for script in (STATIC / folder).glob("*.js"):
        asked |= set(re.findall(r'language\.text\("([a-z-]+)"', script.read_text()))
    assert asked - english.keys() == set()


def test_every_cause_has_words() -> None:
    """Each finding of the check page has a sentence and a fix, and none is there for nothing."""
    words = _words("check")["en"].keys()
    scripts = [path for path in (STATIC / "check").glob("*.js") if path.name != "words.js"]
    text = "".join(script.read_text() for script in scripts)
    found = set(re.findall(r'(?:finding|fail)\("([a-z-]+)"', text))
    found |= set(re.findall(r'code: "([a-z-]+)"', text))
    found |= set(re.findall(r'\[\d{3}, "([a-z-]+)"\]', text))
    assert {f"{kind}-{code}" for kind in ("cause", "fix") for code in found} <= words
    explained = {word.partition("-")[2] for word in words if word.startswith(("cause-", "fix-"))}
    assert [code for code in sorted(explained) if f'"{code}"' not in text] == []


def test_every_cause_is_documented() -> None:
    """A cause has turnctl's code, or stands in docs/client.md among the browser's own."""
    page = {word[6:] for word in _words("check")["en"] if word.startswith("cause-")}
    own = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "client.md").read_text(), re.M))
    assert page - CHECK.keys() == own
