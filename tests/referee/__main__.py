"""`python -m tests.referee`: try the whole corpus and write docs/browsers.md.

With names of configurations, or of files in `corpus`, it tries these and keeps what the document
says of the others.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.referee import document
from tests.referee.corpus import CORPUS, GROUPS
from tests.referee.exceptions import allowed
from tests.referee.lab import built
from tests.referee.trial import Row, disagreement, run


def main(names: list[str]) -> None:
    wanted = {one.name for one in CORPUS if not names or one.name in names}
    for name in names:
        wanted |= {one.name for one in GROUPS.get(name, ())}
    chosen = [(number, one) for number, one in enumerate(CORPUS) if one.name in wanted]
    with tempfile.TemporaryDirectory(prefix="signalpost-referee-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # coturn may give its rights up
        with built(directory) as (place, clients):
            rows = run(chosen, place, clients, report=_print)
            browsers = [f"{one.name} {one.version}" for one in (clients.chromium, clients.firefox)]
    known = dict(document.read(document.PATH.read_text())) if document.PATH.exists() else {}
    known |= {row.key: row for row in rows}
    ordered = [
        known[key]
        for one in CORPUS
        for url in one.urls
        for version in one.versions
        if (key := (one.name, url, version)) in known
    ]
    document.PATH.write_text(document.render(ordered, browsers))


def _print(row: Row) -> None:
    cells = (row.configuration, row.version, row.url, row.chromium, row.firefox, row.verdict)
    said = disagreement(row)
    if said and allowed(row):
        said += " (allowed)"
    print(" | ".join([*cells, " ".join(row.codes), said or ""]), flush=True)  # noqa: T201  asked for


if __name__ == "__main__":
    main(sys.argv[1:])
