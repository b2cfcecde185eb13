"""The layout's promises: nothing is shadowed, and imports point one way.

Walks the source, so that modules to come are covered without a change here.
"""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVICE = sorted((ROOT / "signal" / "signalpost").rglob("*.py"))
COMMAND = sorted((ROOT / "turnctl").rglob("*.py"))
IO_MODULES = {
    "click",
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
HARMLESS = ("socket.inet_aton", "socket.inet_ntoa", "urllib.parse")
"""Functions of text, in modules that otherwise do input and output."""
PURE = (
    "signalpost.credentials",
    "signalpost.iceservers",
    "signalpost.ids",
    "signalpost.limits",
    "signalpost.signaling.callregistry",
    "signalpost.signaling.calls",
    "signalpost.signaling.rooms",
    "signalpost.client.session",
    "turnctl.diagnosis",
    "turnctl.coturn.commandline",
    "turnctl.coturn.log",
    "turnctl.coturn.options",
    "turnctl.coturn.parsing",
    "turnctl.coturn.rendering",
    "turnctl.coturn.versions",
    "turnctl.deployment.domain",
    "turnctl.deployment.edge.certificate",
    "turnctl.deployment.placement",
    "turnctl.deployment.relays",
    "turnctl.doctor.addressrules",
    "turnctl.doctor.authrules",
    "turnctl.doctor.nftables",
    "turnctl.host.addresses",
    "turnctl.rotation.steps",
    "turnctl.upgrade.back",
    "turnctl.upgrade.facts",
    "turnctl.upgrade.log",
    "turnctl.upgrade.memory",
    "turnctl.upgrade.moves",
    "turnctl.upgrade.steps",
    "turnctl.upgrade.waiting",
    "turnctl.wire.outcome",
)
"""Modules, and packages with all that lies in them, that the documents call pure."""


def _run_time(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one, but for what is imported for its types alone."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from _run_time(child)


@functools.cache
def _imports(path: Path) -> tuple[str, ...]:
    """Dotted names a module imports, `from a import b` as a.b, relative ones made absolute."""
    package = path.relative_to(ROOT).parent.parts
    if package[0] == "signal":
        package = package[1:]
    names: list[str] = []
    for node in _run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            names += [f"{module}.{alias.name}" for alias in node.names]
    return tuple(names)


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
    """turnctl shares credentials, iceServers, secret files and join tokens, and nothing else."""
    allowed = (
        "signalpost.credentials",
        "signalpost.iceservers",
        "signalpost.secretfile",
        "signalpost.tokens",
    )
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
        " and m.split('.')[1] in {'access', 'config', 'server', 'signaling', 'web', 'webhooks',"
        " 'websocket'}))"
    )
    assert "[]" == _run(code)


def _name(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[parts[0] == "signal" : len(parts) - (parts[-1] == "__init__")])


MODULES = {_name(path): path for path in (*SERVICE, *COMMAND)}


def _own(name: str) -> str | None:
    """The module of ours that an import of this name reads; None for one of somebody else's."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def _reads(module: str) -> set[str]:
    """The modules of ours that importing this one may read, wherever in it the import stands."""
    return {own for name in _imports(MODULES[module]) if (own := _own(name))} - {module}


def _loads(module: str) -> set[str]:
    """As `_reads`, and the packages in which they lie: Python reads those first."""
    packages = {name.rsplit(".", depth)[0] for name in _reads(module) for depth in range(1, 4)}
    return (_reads(module) | packages) & MODULES.keys()


def _to_the_end(module: str) -> set[str]:
    """What importing the module may read, what that may read, and so on. Not its own packages,
    which gather what lies in them.
    """
    around = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)}
    reached, ahead = {module}, [module]
    while ahead:
        new = _loads(ahead.pop()) - reached - around
        reached |= new
        ahead += new
    return reached


def _circle(edges: Mapping[str, set[str]]) -> list[str]:
    """One circle in the graph, from its first node to itself; empty when there is none."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(map(str, error.args[1]))
    return []


def test_pure_modules_do_no_io() -> None:
    """No input or output and no clock, however far away the module lies that would do it."""
    pure = [name for name in MODULES if _within(name, *PURE)]
    assert [one for one in PURE if one not in MODULES] == []
    wrong = {
        f"{name} → {reached}: {imported}"
        for name in pure
        for reached in _to_the_end(name)
        for imported in _imports(MODULES[reached])
        if imported.split(".")[0] in IO_MODULES and not _within(imported, *HARMLESS)
    }
    assert sorted(wrong) == []


def test_no_circle_of_files() -> None:
    """Imports inside functions count as well."""
    assert [] == _circle({name: _reads(name) for name in MODULES})


def test_the_rooms_stand_in_order() -> None:
    """Imports go down the table of turnctl's rooms in docs/architecture.md, which has them all."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## The packages of turnctl")[2].partition("\n## ")[0]
    rooms = [f"turnctl.{name}" for name in re.findall(r"(?m)^\| `(\w+)(?:/|\.py)`", table)]
    own = [name for name in MODULES if _within(name, "turnctl") and name != "turnctl"]
    assert set(rooms) == set(map(_room, own))
    upward = [
        f"{name} → {read}"
        for name in own
        for read in _reads(name)
        if _within(read, "turnctl") and rooms.index(_room(read)) < rooms.index(_room(name))
    ]
    assert upward == []


def test_no_circle_of_rooms() -> None:
    """A folder inside a room belongs to it."""
    rooms: dict[str, set[str]] = {}
    for name in MODULES:
        room = _room(name)
        rooms.setdefault(room, set()).update(set(map(_room, _reads(name))) - {room})
    assert [] == _circle(rooms)


def _room(module: str) -> str:
    """The folder below the package: turnctl.wire of turnctl.wire.stun."""
    return ".".join(module.split(".")[:2])


def test_each_module_has_its_test_file() -> None:
    """Beside its like, named for it: turnctl/wire/stun.py has tests/turnctl/wire/test_stun*.py."""
    untested = []
    for module, path in MODULES.items():
        folder = ROOT / "tests" / Path(*module.split(".")[:-1])
        if path.stem not in {"__init__", "__main__"} and not [
            *folder.glob(f"test_{path.stem}*.py")
        ]:
            untested.append(module)
    assert untested == []


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
    """Within the service aiohttp is imported by the edges alone, and by the client."""
    names = ("web", "websocket", "webhooks", "server", "client")
    edges = [ROOT / "signal" / "signalpost" / name for name in names]
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
