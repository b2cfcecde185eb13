"""The profile `observe`: a real Prometheus on a real deployment. Grafana cannot be had here: what
it reads is compared with what there is.
"""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.exposition import generate_latest

from signalpost.metrics import Metrics
from tests.lab import docker
from tests.lab.docker import ROOT, Images, Project
from tests.lab.ports import free_port
from turnctl.deployment import scraping

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DEADLINE = 120.0
NAME = re.compile(r"\b(?:signalpost|turnctl|process)_[a-z_]+\b")


@pytest.fixture(scope="module")
def image() -> str:
    return docker.prometheus_image()


def promtool(image: str, *arguments: str) -> None:
    """Run it on the files of deploy/prometheus, mounted where compose.yaml has them."""
    mounts = [f"--volume={PROMETHEUS}:/etc/prometheus:ro", f"--volume={ROOT / 'tests'}:/tests:ro"]
    argv = ["docker", "run", "--rm", *mounts, "--entrypoint", "promtool", image, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def test_promtool_takes_the_configuration(image: str) -> None:
    """prometheus.yml and the rules it names are valid."""
    promtool(image, "check", "config", "/etc/prometheus/prometheus.yml")


def test_alerts_fire_when_they_should(image: str) -> None:
    """Each alert of the service fires after its time and not before, with the text people read."""
    promtool(image, "test", "rules", "/tests/deploy/rules.test.yml")


def own_names() -> set[str]:
    """Series of the service, as Prometheus stores them."""
    text = generate_latest(Metrics().registry).decode()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= (
            {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
        )
    return names


def expressions(node: Any) -> Iterator[str]:
    """Every query below a node of JSON or YAML."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"expr", "query"} and isinstance(value, str):
                yield value
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


@pytest.mark.parametrize("path", [GRAFANA / "signalpost.json", PROMETHEUS / "signalpost.rules.yml"])
def test_asks_for_what_the_service_has(path: Path) -> None:
    """The service's dashboard and alerts name no series that it does not have."""
    asked = {
        name for one in expressions(yaml.safe_load(path.read_text())) for name in NAME.findall(one)
    }
    assert {"signalpost_http_requests_total", "signalpost_turn_secrets"} <= asked
    assert set() == asked - own_names()


def test_the_dashboard_is_one_grafana_can_draw() -> None:
    """Each panel has a query, an id and a place of its own, within the 24 columns."""
    dashboard = json.loads((GRAFANA / "signalpost.json").read_text())
    panels = dashboard["panels"]
    assert [] == [one["title"] for one in panels if not list(expressions(one))]
    assert len(panels) == len({one["id"] for one in panels})
    cells = [
        (x, y)
        for place in (one["gridPos"] for one in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)


def test_grafana_finds_dashboards_and_data_source() -> None:
    """What is provisioned is what compose.yaml mounts, and uids differ."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]
    provisioning = GRAFANA / "provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "signalpost.yml").read_text())[
        "providers"
    ]
    assert f"./deploy/grafana:{provider['options']['path']}:ro" in compose["volumes"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert "http://127.0.0.1:${PROMETHEUS_PORT}" == source["url"]
    assert {"GRAFANA_PORT", "PROMETHEUS_PORT"} == compose["environment"].keys()
    uids = [json.loads(path.read_text())["uid"] for path in GRAFANA.glob("*.json")]
    assert 2 == len(uids) == len(set(uids))


def test_grafana_has_no_account() -> None:
    """No admin/admin: nobody can log in, and everybody on the loopback may look and no more."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(GRAFANA / "grafana.ini")
    assert "127.0.0.1" == settings["server"]["http_addr"]
    assert settings["security"].getboolean("disable_initial_admin_creation")
    assert settings["auth"].getboolean("disable_login_form")
    assert not settings["auth.basic"].getboolean("enabled")
    assert "Viewer" == settings["auth.anonymous"]["org_role"]


def test_targets_name_their_jobs() -> None:
    """The list for Prometheus has the service and the probe, under the jobs that the rules name."""
    listed = json.loads(scraping.render({"signalpost": 1, "turnctl": 2}))
    assert [("127.0.0.1:1", "signalpost"), ("127.0.0.1:2", "turnctl")] == [
        (*group["targets"], group["labels"]["job"]) for group in listed
    ]
    rules = (PROMETHEUS / "signalpost.rules.yml").read_text()
    assert set(scraping.PORTS) == set(re.findall(r'job="(\w+)"', rules))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deploy/prometheus with short times: the rules' own would keep a test waiting for minutes."""
    directory = tmp_path_factory.mktemp("prometheus")
    for path in PROMETHEUS.iterdir():
        text = re.sub(r"\b(for: |_interval: )\d+[smh]", r"\g<1>1s", path.read_text())
        (directory / path.name).write_text(text)
        (directory / path.name).chmod(0o644)
    directory.chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def stack(
    image: str, images: Images, quick: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The deployment with the profile, without Grafana."""
    override = tmp_path_factory.mktemp("compose") / "test.yaml"
    override.write_text(
        f"""
services:
  prometheus: {{volumes: ["{quick}:/etc/prometheus:ro"]}}
  grafana: {{profiles: !override [not-here]}}
"""
    )
    ports = ("PORT", "TURN_PORT", "PROBE_PORT", "METRICS_PORT", "PROMETHEUS_PORT", "TURN_NEXT_PORT")
    environment = {
        "COMPOSE_PROFILES": "observe",
        "PROMETHEUS_IMAGE": image,
        **images.environment,
        "PROBE_INTERVAL": "2",
        "NO_STUN": "1",
        **{name: str(free_port()) for name in ports},
    }
    project = Project("observe", environment, (ROOT / "compose.yaml", override))
    with project.up():
        yield project


def ask(project: Project, path: str, **query: str) -> Any:
    """What Prometheus answers."""
    port = project.environment["PROMETHEUS_PORT"]
    address = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as answer:
        return json.load(answer)["data"]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def value(project: Project, query: str) -> float | None:
    """The one sample of a query, None while there is none."""
    try:
        found = ask(project, "query", query=query)["result"]
    except OSError:
        return None  # not up yet
    return float(found[0]["value"][1]) if found else None


def firing(project: Project) -> set[str]:
    alerts = ask(project, "alerts")["alerts"]
    return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


def test_service_and_probe_are_scraped(stack: Project) -> None:
    """Prometheus gets the figures of both, from the ports that the environment names."""
    for job in scraping.PORTS:
        wait_until(lambda job=job: value(stack, f'up{{job="{job}"}}') == 1)  # type: ignore[misc]
    wait_until(lambda: value(stack, "min(turnctl_url_up)") == 1)
    assert value(stack, "sum(signalpost_credentials_minted_total)") is not None
    assert {"signalpost", "turnctl"} == {
        one["labels"]["job"] for one in ask(stack, "targets")["activeTargets"]
    }


def test_a_relay_that_stops_fires_an_alert(stack: Project) -> None:
    """Without coturn TurnRelayDown and TurnCheckFails fire; with it they end."""
    wait_until(lambda: value(stack, "min(turnctl_url_up)") == 1)
    relay = {"TurnRelayDown", "TurnCheckFails"}
    wait_until(lambda: not firing(stack) & relay)  # the rules are judged after the scrape
    stack.compose("stop", "coturn")
    try:
        wait_until(lambda: relay <= firing(stack))
        assert "SignalpostDown" not in firing(stack)
    finally:
        stack.compose("start", "coturn")
    wait_until(lambda: not firing(stack) & relay)


def test_prometheus_is_for_this_host_alone(stack: Project) -> None:
    """It runs as its own user, and listens on the loopback."""
    container = stack.inspect("prometheus")
    status = Path(f"/proc/{container['State']['Pid']}/status").read_text()
    assert ["10006"] * 4 == re.findall(r"^Uid:\s+(.*)$", status, re.MULTILINE)[0].split()
    port = int(stack.environment["PROMETHEUS_PORT"])
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    bound = re.findall(rf": (\S+):{port:04X} \S+ 0A ", listening)
    assert ["0100007F"] == bound
