"""The check's clock: what this machine did not run for is no time of the server's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab import coturn
from tests.lab.prober import TURNCTL, write_ice_servers
from turnctl.check.awake import STALL, TICK, AwakeClock


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_stall_is_left_out() -> None:
    """All of it but one tick, and once; shorter pauses count."""
    time = Time()
    clock = AwakeClock(time)
    async with clock.ticking():
        time.now += STALL
        assert pytest.approx(1000.0 + STALL) == clock()
        time.now += 60.0
        assert pytest.approx(1000.0 + STALL + TICK) == clock() == clock()


async def test_without_ticks_nothing_is_left_out() -> None:
    """Before and after the block nobody looks, which is no stall."""
    time = Time()
    clock = AwakeClock(time)
    time.now += 60.0
    async with clock.ticking():
        assert 1060.0 == clock()
    time.now += 60.0
    assert 1120.0 == clock()


async def test_the_loops_timers_wait_as_well() -> None:
    """What came during a stall is there before the wait for it ends; afterwards all is as usual."""
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        async with AwakeClock().ticking(), asyncio.timeout(10 * STALL) as limit:
            reading = asyncio.ensure_future(loop.sock_recv(here, 1))
            await asyncio.sleep(0)
            there.send(b"x")
            time.sleep(15 * STALL)  # noqa: ASYNC251  the stall
            assert b"x" == await reading
        assert not limit.expired()
    before = time.monotonic()
    assert before <= loop.time() <= time.monotonic()


@pytest.mark.parametrize("moment", ["Binding", "label=a", "label=b"])
def test_a_check_that_is_stopped_for_a_while(moment: str, own_address: str, tmp_path: Path) -> None:
    """Stopped for longer than a URL's time, it says the same of the server afterwards."""
    with coturn.running(own_address) as server:
        urls = [server.uri("udp"), server.uri("tcp")]
        path = write_ice_servers(tmp_path / "ice.json", urls, server.credential())
        with subprocess.Popen(
            [TURNCTL, "check", "-v", path],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            while moment not in process.stderr.readline():
                assert process.poll() is None
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(6)
            os.kill(process.pid, signal.SIGCONT)
            stdout, stderr = process.communicate(timeout=300)
    assert 0 == process.returncode, stdout + stderr
    assert "FAIL" not in stdout
