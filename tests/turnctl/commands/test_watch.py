"""`turnctl watch` against a real coturn, and as it is typed."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import coturn
from tests.lab.ports import free_port
from tests.lab.prober import TURNCTL
from tests.lab.responders import issuer

DEADLINE = 60.0


class Watching:
    """A running `turnctl watch`, its log line by line."""

    def __init__(self, *arguments: str) -> None:
        argv = [TURNCTL, "watch", "--interval", "1", "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.endpoint = ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def next(self, event: str, **wanted: Any) -> dict[str, Any]:
        """The next line of that event with those members."""
        while True:
            line: dict[str, Any] = json.loads(self._lines.get(timeout=DEADLINE))
            if line["event"] == event and wanted.items() <= line.items():
                return line

    def get(self, path: str) -> tuple[int, str]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.endpoint}{path}", timeout=DEADLINE) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def wait_for(self, path: str, test: Callable[[int, str], bool]) -> str:
        deadline = time.monotonic() + DEADLINE
        while True:
            status, body = self.get(path)
            if test(status, body):
                return body
            assert time.monotonic() < deadline, body
            time.sleep(0.05)

    def stop(self, number: signal.Signals) -> tuple[int, float, str]:
        """Status, seconds it took, and what was said on stderr."""
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        assert self.process.stderr is not None
        return status, time.monotonic() - begun, self.process.stderr.read()


@contextlib.contextmanager
def watching(*arguments: str) -> Iterator[Watching]:
    made = Watching(*arguments)
    try:
        made.endpoint = made.next("started")["listen"]
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        for pipe in (made.process.stdout, made.process.stderr):
            if pipe is not None:
                pipe.close()


def secret_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "turn-secret"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def test_a_relay_goes_and_comes_back(own_address: str, tmp_path: Path) -> None:
    """Health, metrics and log follow; a file whose secret is wrong for a while is survived too."""
    port, secret = free_port(), "a-secret-of-the-lab"
    path = secret_of(tmp_path, secret)
    url = f"turn:{own_address}:{port}?transport=udp"
    with watching("--relay-only", "--timeout", "10", "--secret-file", path, url) as watched:
        watched.next("changed", url=url, verdict="fail")
        with coturn.running(own_address, port=port, secret=secret):
            watched.next("changed", url=url, verdict="pass", was="fail")
            watched.wait_for("/healthz", lambda status, _: status == 200)
            labels = f'{{url="{url}",family="4"}}'
            metrics = watched.get("/metrics")[1]
            assert f"turnctl_url_up{labels} 1\n" in metrics
            assert f"turnctl_relay_loss_ratio{labels} 0\n" in metrics
            Path(path).unlink()
            assert "turn-secret" in watched.next("broke-off")["error"]
            assert 503 == watched.get("/healthz")[0]
            secret_of(tmp_path, secret)
            watched.wait_for("/healthz", lambda status, _: status == 200)
        watched.next("changed", url=url, verdict="fail", was="pass")
        assert 503 == watched.get("/healthz")[0]
        assert f"turnctl_url_up{labels} 0\n" in watched.get("/metrics")[1]
        assert (0, "") == watched.stop(signal.SIGTERM)[::2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_watch_releases_its_allocations(
    own_address: str, tmp_path: Path, number: signal.Signals
) -> None:
    """In the middle of a check: over at once, with nothing left behind. The check would go on for
    as long as its other server is silent."""
    with (
        coturn.running(own_address, lines=["verbose"]) as server,
        socket.socket(type=socket.SOCK_DGRAM) as silent,
    ):
        silent.bind((own_address, 0))
        mute = f"turn:{own_address}:{silent.getsockname()[1]}?transport=udp"
        path = secret_of(tmp_path, server.secret)
        options = ("--timeout", "120", "--secret-file", path)
        with watching(*options, server.uri("udp"), mute) as watched:
            deadline = time.monotonic() + DEADLINE
            while not (made := re.findall("new, realm", server.log())):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            status, seconds, stderr = watched.stop(number)
        made, released = (
            re.findall(pattern, server.log())
            for pattern in ("new, realm", "refreshed, .*lifetime=0")
        )
    assert (0, "") == (status, stderr)
    assert seconds < DEADLINE / 2
    assert len(made) == len(released) > 0


def test_an_address_that_changed_is_told(own_address: str, tmp_path: Path) -> None:
    """A STUN server sees this host at another address than the relay URL leads to."""
    path = secret_of(tmp_path, "a-secret-of-the-lab")
    target = ("--timeout", "0.5", "--secret-file", path, "turn:203.0.113.77")
    with coturn.running(own_address) as server:
        stun = f"{server.host}:{server.port}"
        with watching("--own-relay", "--stun", stun, *target) as watched:
            told = watched.next("address", verdict="warn")["summary"]
            assert own_address in told
            assert "clients are sent to 203.0.113.77" in told
            assert 0 == watched.stop(signal.SIGTERM)[0]


@pytest.mark.parametrize("body", [b"\xff\x00", b'{"servers": 1}', b"[" * 100_000])
def test_garbage_of_an_issuer_is_a_finding(body: bytes) -> None:
    """The loop goes on, and the metrics have the code."""
    with issuer(body) as url, watching(url) as watched:
        watched.next("changed", verdict="fail", codes=["issuer-bad-response"])
        seen = 'turnctl_findings{code="issuer-bad-response",severity="fail"} 1'
        watched.wait_for("/metrics", lambda _, body: seen in body and "checks_total" in body)
        watched.wait_for("/metrics", lambda _, body: re.search(r"checks_total.* [2-9]", body))  # type: ignore[arg-type,return-value]


def test_a_taken_port_is_refused() -> None:
    """Before any check, with the option that helps, and exit status 3."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [TURNCTL, "watch", "--listen", listen, "stun:127.0.0.1:9"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (3, "") == (done.returncode, done.stdout)
    assert f"--listen {listen}: Address already in use" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-"],
        ["nix://x"],
        ["--interval", "0", "stun:127.0.0.1"],
        ["--interval", "nan", "stun:127.0.0.1"],
        ["--listen", "9465", "stun:127.0.0.1"],
        ["--listen", "127.0.0.1:70000", "stun:127.0.0.1"],
        ["--secret-file", "/nonexistent", "turn:127.0.0.1"],
        ["--ca", "/dev/null", "turns:127.0.0.1"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    """One line, exit status 2."""
    argv = [TURNCTL, "watch", "--listen", "127.0.0.1:0", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert 2 == done.returncode
    assert 1 == len(done.stderr.splitlines())
