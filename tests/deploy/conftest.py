"""Deployments with a domain; images of all that is deployed; a client of what runs on this host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.lab import acme, deployment, docker, netns, upgrades
from tests.lab.composed import Composed, composing
from tests.lab.deployment import DOMAIN, Deployment, wait_until
from tests.lab.docker import Images
from tests.lab.names import names
from tests.lab.netns import Internet, Site
from tests.lab.parts import require


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    """The servers' namespace, where the name leads to."""
    with netns.internet() as made, names(made.server, DOMAIN, [netns.SERVER]):
        yield made


@pytest.fixture(scope="module")
def outside(internet: Internet) -> Iterator[Site]:
    """A client on the internet without a NAT or a firewall."""
    site = internet.join("no-nat")
    with names(site.client, DOMAIN, [netns.SERVER]):
        yield site


@pytest.fixture(scope="module")
def two_routers_away(own_address: str) -> Iterator[Site]:
    """A client of what runs on this host itself, as most are: behind a NAT, and not next door."""
    with netns.around_this_host(own_address) as around:
        yield around.join("port-restricted")


@pytest.fixture(scope="module", params=["coturn 4.18.0, HAProxy 2.6.12"])
def deployed(
    internet: Internet,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Service, relays and edge, up; the parameter names the versions."""
    _, relay, _, edge = request.param.replace(",", "").split()
    home = tmp_path_factory.mktemp("deployed")
    with deployment.deployed(home, internet.server, relay_version=relay, edge_version=edge) as made:
        yield made


@pytest.fixture(scope="module")
def ca(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[acme.Ca]:
    """A CA that has given the edge its certificate."""
    home = tmp_path_factory.mktemp("ca")
    with acme.ca(home, namespace=deployed.server.name) as made, deployed.certify(made):
        wait_until(
            lambda: "certificate-served" in deployed.log("certify"),
            lambda: deployed.log("certify") + deployed.log("haproxy"),
        )
        yield made


@pytest.fixture(scope="session")
def images() -> Images:
    """An engine, and all images of a deployment."""
    return docker.images()


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """A deployment with a name by `docker compose up`, in the servers' namespace."""
    with composing(tmp_path_factory.mktemp("composed")) as made:
        yield made


@pytest.fixture
def composed(standing: Composed, request: pytest.FixtureRequest) -> Iterator[Composed]:
    """The same, up; made anew after a test that failed."""
    if not standing.whole:
        standing.up()
    failed = request.session.testsfailed
    yield standing
    if request.session.testsfailed > failed:
        standing.whole = False


@pytest.fixture(scope="module")
def caller(standing: Composed) -> Iterator[Site]:
    """Two routers away; and all images of upgrades are there. Afterwards another coturn may run."""
    require("flock", "xargs")
    upgrades.variants(standing.engine, standing.images.coturn)
    yield standing.internet.join("port-restricted")
    standing.whole = False


@pytest.fixture
def upgradable(composed: Composed, caller: Site) -> Iterator[upgrades.Deployment]:
    """A deployment to be upgraded."""
    with contextlib.ExitStack() as stack:
        yield upgrades.Deployment(composed, caller, stack)
