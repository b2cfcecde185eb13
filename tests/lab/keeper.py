"""Runs a program until nobody uses it any more: python -m tests.lab.keeper FOLDER PROGRAM …

A process that uses the program holds a shared lock on FOLDER/users. The kernel takes the lock away
when that process ends, however it ends, and the program is ended then. It writes to FOLDER/log.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["KEEPER", "LOG", "USERS"]

USERS, KEEPER, LOG = "users", "keeper", "log"
"""Files in the folder. The keeper holds a lock on its own as long as it runs."""
PAUSE = 0.2


def _keep(folder: Path, argv: Sequence[str]) -> int:
    with (
        (folder / KEEPER).open("w") as own,
        (folder / USERS).open("w") as users,
        (folder / LOG).open("wb") as log,
    ):
        fcntl.flock(own, fcntl.LOCK_EX)
        program = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while program.poll() is None:
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    time.sleep(PAUSE)
                else:
                    break
        finally:
            program.terminate()
            # Whoever wants a new one waits for the lock until this one has ended.
            program.wait()
        return program.returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(_keep(Path(sys.argv[1]), sys.argv[2:]))
