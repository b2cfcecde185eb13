"""A network that loses packets: the loss is told with its figure, and no cause is made of it.

A router drops a share of everything that passes it, in both directions alike.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from signalpost.credentials import Secret, mint
from tests.lab import coturn, netns
from tests.lab.certs import Authority
from tests.lab.matrix import fault
from tests.lab.prober import Checked, check, write_ice_servers

SOAK = bool(os.environ.get("SOAK"))
RUNS = 50 if SOAK else 3
AT_ONCE = 4
"""Checks beside each other: they wait more than they work."""

RATES = [5, 10, 20, 30] if SOAK else [5, 10, 20]
"""Percent lost each way. At 30 % a TCP connection may stall for longer than a URL's time."""

TOLERANCE = 0.15
"""Between the share of echoes that was measured and the one that was made: four standard deviations
of 200 packets."""

RELAYS = "20000-20400"
ADVICE = {"no-tls-443", "no-tcp-fallback", "tls-ip-literal"}


@dataclass(frozen=True, slots=True)
class Lossy:
    """A client behind a router that loses packets, and a coturn of each version."""

    site: netns.Site
    servers: tuple[coturn.Server, ...]
    options: tuple[str, ...]
    directory: Path

    def check(self, run: int, *transports: str, secret: str = "", timeout: str = "20") -> Checked:
        """A check of one of the servers, as a user of its own."""
        server = self.servers[run % len(self.servers)]
        credential = server.credential(f"user{run}")
        if secret:
            credential = mint([Secret(secret)], f"user{run}", now=0, ttl=2_100_000_000)
        urls = [server.uri(one) for one in transports or ("udp", "tcp", "tls")]  # type: ignore[arg-type]
        path = write_ice_servers(self.directory / f"ice{run}.json", urls, credential)
        return check("--timeout", timeout, *self.options, path, inside=self.site.client)

    def all(self, one: Callable[[int], Checked], runs: int = RUNS) -> list[Checked]:
        """That many checks, some at once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, range(runs)))


@contextmanager
def losing(percent: int, authority: Authority, directory: Path) -> Iterator[Lossy]:
    with ExitStack() as stack:
        site = stack.enter_context(netns.site())
        addresses = (site.server.address, site.second_server_address)
        servers = [
            stack.enter_context(
                coturn.running(
                    address,
                    lines=[f"min-port={RELAYS.split('-')[0]}", f"max-port={RELAYS.split('-')[1]}"],
                    tls=authority.issue([address]),
                    namespace=site.server.name,
                    version=version,
                )
            )
            for address, version in zip(addresses, coturn.VERSIONS, strict=True)
        ]
        drop = f"numgen random mod 100 < {percent} drop"
        site.router.nft(
            f"table inet loss {{\n chain loss {{\n type filter hook forward priority -5\n {drop}\n"
            " }\n}\n"
        )
        yield Lossy(site, tuple(servers), ("--ca", str(authority.root)), directory)


def told(checked: Checked) -> set[str]:
    return checked.codes("fail", "warn") - ADVICE


def measured(runs: list[Checked]) -> list[float]:
    """The shares of echoes over UDP that got lost."""
    urls = [url for run in runs for url in run.report["urls"] if "transport=udp" in url["url"]]
    return [(url["sent"] - url["received"]) / url["sent"] for url in urls if url["sent"]]


@pytest.mark.parametrize("percent", RATES)
@fault("relay-data-lost", "a router that loses 5, 10, 20 or 30 % each way (warn)")
def test_loss_is_no_cause_of_its_own_making(
    percent: int,
    authority: Authority,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """`relay-data-lost` with its figure, over every transport and both versions, and no more."""
    with losing(percent, authority, tmp_path) as lossy:
        runs = lossy.all(lossy.check)
    other = [run.report["findings"] for run in runs if told(run) != {"relay-data-lost"}]
    if SOAK:
        causes = Counter(", ".join(sorted(told(run))) for run in runs)
        seconds = sorted(run.seconds for run in runs)
        lost = measured(runs)
        record_property(
            f"loss of {percent} %",
            f"{dict(causes)}, echoes lost {sum(lost) / len(lost):.1%} "
            f"({min(lost):.1%} to {max(lost):.1%}), "
            f"{seconds[len(seconds) // 2]:.1f} s, {seconds[-1]:.1f} s at most",
        )
    # A stream may stall for longer than a URL's time: then that is told, never another cause.
    unknown = [run for run in runs if told(run) == {"relay-data-lost", "deadline-reached"}]
    assert len(other) == len(unknown), [
        one for found in other for one in found if one["severity"] != "info"
    ]
    assert len(unknown) <= (1 if percent == 30 else 0), other
    expected = 1 - (1 - percent / 100) ** 4
    assert all(abs(lost - expected) < TOLERANCE for lost in measured(runs))


@pytest.mark.parametrize("version", coturn.VERSIONS)
def test_a_closed_range_beside_loss(
    version: coturn.Version, authority: Authority, tmp_path: Path
) -> None:
    """Both are told: the range, which is closed for the relay's own packets too, and the loss."""
    with losing(10, authority, tmp_path) as lossy:
        lossy.site.server.drop(f'iifname "eth0" udp dport {RELAYS}')
        checked = lossy.check(coturn.VERSIONS.index(version), "udp", timeout="8")
    assert {"relay-range-blocked", "relay-data-lost"} == told(checked), checked.report["findings"]


def test_another_secret_beside_loss(authority: Authority, tmp_path: Path) -> None:
    """The secret is told, and nothing else: no data got that far."""
    with losing(10, authority, tmp_path) as lossy:
        runs = lossy.all(lambda run: lossy.check(run, "udp", "tcp", secret="another-secret"), 2)
    for run in runs:
        assert {"secret-mismatch"} == told(run), run.report["findings"]


def test_a_closed_port_beside_loss(authority: Authority, tmp_path: Path) -> None:
    """A TCP port that is silent is told apart from a connection that loses packets."""
    with losing(10, authority, tmp_path) as lossy:
        ports = ", ".join(str(server.port) for server in lossy.servers)
        lossy.site.server.drop(f"tcp dport {{ {ports} }}")
        runs = lossy.all(lambda run: lossy.check(run, "udp", "tcp"), 2)
    for run in runs:
        assert {"tcp-blocked", "relay-data-lost"} == told(run), run.report["findings"]


@pytest.mark.parametrize("version", coturn.VERSIONS)
@fault("relay-range-blocked", "nft drops udp to one half of the relay ports, on every interface")
def test_a_range_that_is_half_closed(
    version: coturn.Version, authority: Authority, tmp_path: Path
) -> None:
    """One cause, also where the echo or the ICE agents met the closed half."""
    with losing(0, authority, tmp_path) as lossy:
        lossy.site.server.drop("udp dport 20200-20400")
        checked = lossy.check(coturn.VERSIONS.index(version), "udp", "tcp", timeout="6")
    assert {"relay-range-blocked"} == told(checked), checked.report["findings"]
    assert ["fail", "fail"] == checked.verdicts()
