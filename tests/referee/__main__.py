"""`python -m tests.referee`: try the whole corpus and write docs/browsers.md.

With names of configurations: try these, and print what was seen.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.referee.corpus import CORPUS
from tests.referee.lab import built
from tests.referee.trial import disagreement, run


def main(names: list[str]) -> None:
    chosen = [
        (number, one) for number, one in enumerate(CORPUS) if not names or one.name in names
    ]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="signalpost-referee-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with built(directory) as (place, clients):
            rows = run(chosen, place, clients)
    for row in rows:
        print(row.configuration, row.version, row.url, "|", row.chromium, "|", row.firefox, "|",  # noqa: T201
              row.verdict, *row.codes, "|", disagreement(row) or "")
    print(len(rows), "URLs,", sum(disagreement(r) is not None for r in rows), "disagreements,",  # noqa: T201
          round(time.monotonic() - begun), "s")


if __name__ == "__main__":
    main(sys.argv[1:])
