"""The files that `turnctl init` writes into the data directory, and their order.

Secrets come first, then the relays that check credentials with them, then the settings with which
the service hands out the relays. A run that is killed in between leaves nothing that clients could
use and that doesn't work.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from signalpost.credentials import Secret
from turnctl.coturn import database, rendering, versions
from turnctl.deployment import datadir, scraping, servicefile
from turnctl.deployment.placement import Placement
from turnctl.deployment.relays import Relay
from turnctl.host import files

__all__ = ["KEY_FILES", "Installation", "install"]

KEY_FILES = ("api-key", "token-key", "id-key")


@dataclass(frozen=True, slots=True)
class Installation:
    """What this host will run. Clients are sent to the relay `handed_out`. `http` is the service's
    own address and port; `edge_http` and `edge_https` are the edge's ports with a domain."""

    version: versions.Version
    realm: str
    where: Placement
    relays: tuple[Relay, ...]
    handed_out: Relay
    limits: rendering.Limits
    http: tuple[str, int]
    domain: str | None
    edge_http: int
    edge_https: int
    figures: dict[str, int] = field(default_factory=lambda: dict(scraping.PORTS))
    """Prometheus job → port of its metrics."""
    only: tuple[str, ...] = ()
    """The relays whose files are written; empty for all of them."""

    def configuration(self, relay: Relay, home: Path) -> rendering.Configuration:
        return rendering.Configuration(
            version=self.version,
            realm=self.realm,
            addresses=self.where.listen,
            directory=str(home),
            external=self.where.external,
            port=relay.port,
            min_port=relay.first,
            max_port=relay.last,
            proxy_port=relay.proxy_port,
            limits=self.limits,
            note=self.where.note,
        )

    def settings(self) -> str:
        return servicefile.render(
            hosts=self.where.advertised,
            port=self.handed_out.port,
            http=self.http,
            metrics=self.figures["signalpost"],
            note=self.where.note,
            domain=self.domain,
            https_port=self.edge_https,
        )


def install(
    directory: Path, wanted: Installation, *, force: bool, now: datetime.datetime
) -> dict[str, str]:
    """Write everything; return file → what was done with it. The caller has locked the directory.

    `force` replaces settings that somebody edited. `now` is in UTC. Raises files.Unusable.
    """
    done = {}
    turn_secrets, made = datadir.secrets_in(directory / "turn-secret")
    done["turn-secret"] = "made" if made else "kept"
    for name in KEY_FILES:
        done[name] = "made" if datadir.secrets_in(directory / name)[1] else "kept"
    for relay in wanted.relays:
        if wanted.only and relay.name not in wanted.only:
            continue
        done |= _relay(directory.resolve() / relay.name, wanted, relay, turn_secrets)
    must = None
    if wanted.handed_out.name != "coturn":
        must = f"clients would not be sent to {wanted.handed_out.name}"
    done["signalpost.yaml"] = servicefile.put(
        directory / "signalpost.yaml", wanted.settings(), force=force, must=must
    )
    if (probe := directory / "probe").is_dir():
        key = datadir.secrets_in(directory / "api-key")[0][0]
        files.write(probe / "api-key", key.reveal() + "\n", mode=datadir.secret_mode(probe))
        done["probe/api-key"] = "copied"
    if (prometheus := directory / "prometheus").is_dir():
        files.write(prometheus / "targets.json", scraping.render(wanted.figures), mode=0o644)
        done["prometheus/targets.json"] = "written"
    if wanted.domain is not None:
        done["certificates/edge.pem"] = _certificate(directory / "certificates", wanted.domain, now)
    return done


def _relay(
    home: Path, wanted: Installation, relay: Relay, secrets: tuple[Secret, ...]
) -> dict[str, str]:
    files.make_directory(home)
    with files.owned(home):
        changed = database.put(home / "turndb", wanted.realm, secrets)
    configuration = rendering.render(wanted.configuration(relay, home))
    files.write(home / "turnserver.conf", configuration, mode=0o400)
    return {
        f"{relay.name}/turndb": "updated" if changed else "kept",
        f"{relay.name}/turnserver.conf": f"written for coturn {wanted.version}",
    }


def _certificate(home: Path, domain: str, now: datetime.datetime) -> str:
    """Make sure that there is a certificate with which the edge can start. `turnctl edge certify`
    replaces it, but only once the edge has started."""
    # Imported here: the import takes 30 ms, and a host without a domain doesn't need it.
    from turnctl.deployment.edge.certificate import Bad, read
    from turnctl.deployment.edge.placeholder import placeholder

    path = home / "edge.pem"
    files.make_directory(home)
    wrong = ""
    try:
        with files.owned(home):
            content = path.read_bytes()
        read(content, content)
        return "kept"
    except FileNotFoundError:
        pass
    except OSError as error:
        wrong = f"{error.strerror}: "
    except Bad as error:
        wrong = f"{error}: "
    files.write(path, placeholder(domain, now), mode=0o440)
    return f"{wrong}self-signed, until the edge gets a real one"
