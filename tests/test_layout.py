"""The layout's promises: nothing is shadowed, and imports point one way.

Walks the source, so that modules to come are covered without a change here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVICE = sorted((ROOT / "signal" / "signalpost").rglob("*.py"))
COMMAND = sorted((ROOT / "turnctl").rglob("*.py"))
IO_MODULES = {
    "aiohttp",
    "aioice",
    "asyncio",
    "concurrent",
    "http",
    "os",
    "pathlib",
    "prometheus_client",
    "random",
    "requests",
    "secrets",
    "select",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib",
    "uvloop",
}
PURE = (
    "signal/signalpost/calls.py",
    "signal/signalpost/credentials.py",
    "signal/signalpost/iceservers.py",
    "signal/signalpost/rooms.py",
    "turnctl/diagnosis/catalogue.py",
    "turnctl/diagnosis/plan.py",
    "turnctl/upgrade/facts.py",
    "turnctl/upgrade/memory.py",
    "turnctl/upgrade/moves.py",
    "turnctl/upgrade/steps.py",
    "turnctl/upgrade/waiting.py",
)


def _imports(path: Path) -> Iterator[str]:
    """Dotted names a module imports, `from a import b` as a.b, relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    if package[0] == "signal":
        package = package[1:]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _within(name: str, *modules: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _run(code: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout.strip()


def test_the_standard_librarys_signal() -> None:
    """`import signal` from the repository's root finds the standard library's module."""
    assert not (ROOT / "signal" / "__init__.py").exists()
    code = "import signal, asyncio; print(signal.SIGTERM.value, signal.__file__)"
    number, file = _run(code).split(" ", 1)
    assert number == "15"
    assert not Path(file).is_relative_to(ROOT / "signal")


def test_the_command_imports_only_what_both_share() -> None:
    """turnctl shares the credential, iceServers and secret files, and nothing else."""
    allowed = ("signalpost.credentials", "signalpost.iceservers", "signalpost.secretfile")
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in COMMAND
        for name in _imports(path)
        if _within(name, "signalpost") and not _within(name, *allowed)
    ]
    assert wrong == []


def test_the_service_does_not_import_the_command() -> None:
    """Imports point one way."""
    assert [str(p) for p in SERVICE for name in _imports(p) if _within(name, "turnctl")] == []


def test_the_client_needs_nothing_of_the_service() -> None:
    """The client shares messages and values with the service, and starts none of it."""
    code = (
        "import sys, signalpost.client\n"
        "print(sorted(m for m in sys.modules if m.startswith('signalpost.')"
        " and m.split('.')[1] in {'web', 'hub', 'auth', 'config', 'dialects'}))"
    )
    assert "[]" == _run(code)


def test_pure_modules_do_no_io() -> None:
    """State machines, plan, findings, credentials and iceServers import no I/O and no clock."""
    pure = [ROOT / name for name in PURE]
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in pure
        for name in _imports(path)
        if name.split(".")[0] in IO_MODULES
    ]
    assert wrong == []


def test_only_the_wire_touches_aioices_protocol() -> None:
    """aioice.stun and aioice.turn are imported by turnctl/wire alone."""
    wire = ROOT / "turnctl" / "wire"
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in (*SERVICE, *COMMAND)
        for name in _imports(path)
        if _within(name, "aioice.stun", "aioice.turn") and not path.is_relative_to(wire)
    ]
    assert wrong == []


def test_only_the_edge_knows_aiohttp() -> None:
    """Within the service aiohttp is imported by web/ alone, and by the client."""
    edges = [ROOT / "signal" / "signalpost" / name for name in ("web", "client")]
    wrong = [
        str(path.relative_to(ROOT))
        for path in SERVICE
        for name in _imports(path)
        if _within(name, "aiohttp") and not any(map(path.is_relative_to, edges))
    ]
    assert wrong == []


def test_turnctl_help_is_light() -> None:
    """`turnctl --help` imports neither aiohttp nor the service."""
    code = (
        "import sys\n"
        "sys.argv = ['turnctl', '--help']\n"
        "from turnctl.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "pure = {'signalpost', 'signalpost.credentials', 'signalpost.iceservers'}\n"
        "print('\\n', sorted(m for m in sys.modules if m.split('.')[0] == 'aiohttp'"
        " or (m.split('.')[0] == 'signalpost' and m not in pure)))"
    )
    assert _run(code).splitlines()[-1].strip() == "[]"


def test_the_wheel_holds_both_packages(tmp_path: Path) -> None:
    """A built wheel has both packages with their types, and no package called signal."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {path.relative_to(ROOT / "signal").as_posix() for path in SERVICE}
    sources |= {path.relative_to(ROOT).as_posix() for path in COMMAND}
    static = ROOT / "signal" / "signalpost" / "web" / "static"
    pages = [path for path in static.rglob("*") if path.is_file()]
    sources |= {path.relative_to(ROOT / "signal").as_posix() for path in pages}
    assert {"signalpost/py.typed", "turnctl/py.typed"} | sources <= names
    assert [name for name in names if name.startswith(("signal/", "tests/", "bench/"))] == []
