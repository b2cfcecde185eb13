"""client.d.ts: a TypeScript program against it, and that it declares what client.js exports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.browser.npm import node, package

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "signal" / "signalpost" / "web" / "static"
DOCUMENT = (ROOT / "docs" / "client.md").read_text()
PROGRAM = re.sub(
    r'"https://[^"]+/client.js"',
    '"./client.js"',
    "".join(re.findall(r"```ts\n(.*?)```", DOCUMENT, re.S)),
)
WRONG = """
// @ts-expect-error there is no such outcome
const never: boolean = call.outcome === "bored";
// @ts-expect-error a room is had from a client
room.join();
// @ts-expect-error a name is a text
await connect({ name: 3 });
"""


@pytest.mark.parametrize("program", [PROGRAM, PROGRAM + WRONG])
def test_a_program(tmp_path: Path, program: str) -> None:
    """The examples in the documentation compile, and mistakes don't."""
    compiler = package("typescript", "5.9.3") / "bin" / "tsc"
    (tmp_path / "client.d.ts").write_text((STATIC / "client.d.ts").read_text())
    (tmp_path / "program.ts").write_text(program)
    options = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext"]
    (tmp_path / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(
        [node(), str(compiler), *options, "program.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stdout


def test_the_same_names() -> None:
    """client.js exports exactly the values that client.d.ts declares."""
    code = f"import('{STATIC / 'client.js'}').then(m => console.log(Object.keys(m).join(' ')))"
    page = "globalThis.location = new URL('http://127.0.0.1');"
    done = subprocess.run([node(), "-e", page + code], capture_output=True, text=True, check=True)
    declared = re.findall(
        r"^export (?:class|function) (\w+)", (STATIC / "client.d.ts").read_text(), re.M
    )
    assert sorted(declared) == sorted(done.stdout.split())
