"""Firefox ESR inside a site: headless, with a profile of its own, its page scripted by the test.

with firefox.inside(site.client, tmp_path / "firefox", root=authority.root) as browser:
    browser.run("return navigator.userAgent")
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.netns import Namespace
from tests.lab.parts import find, require
from tests.lab.scripted import Browser, opened

__all__ = ["inside", "trust"]

PREFERENCES: dict[str, bool | int | str] = {
    # Host candidates with addresses: nobody resolves mDNS names in the lab.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.autoplay.default": 0,
    # Nothing but the page goes onto the lab's network.
    "network.proxy.type": 0,
    "network.trr.mode": 5,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.search.update": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "browser.topsites.contile.enabled": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "security.remote_settings.crlite_filters.enabled": False,
    "security.remote_settings.intermediates.enabled": False,
    "services.settings.server": "http://127.0.0.1:9",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.unified": False,
    # A page without a window in front must not be slowed down.
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
}


@contextlib.contextmanager
def inside(namespace: Namespace, home: Path, *, root: Path | None = None) -> Iterator[Browser]:
    """A new browser in that namespace that trusts the CA certificate `root`; `home` is a folder
    for it alone.
    """
    require("firefox-esr", "ip", root=True)
    profile = home / "profile"
    profile.mkdir(parents=True)
    (profile / "user.js").write_text(
        "".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in PREFERENCES.items()
        )
    )
    if root is not None:
        trust(profile, root)
    argv = [str(find("firefox-esr")), "--headless", "--no-remote", "--profile", str(profile)]
    with opened(
        argv,
        namespace,
        home / "log",
        environment={"HOME": str(home), "MOZ_CRASHREPORTER_DISABLE": "1"},
    ) as browser:
        said = subprocess.run([argv[0], "--version"], check=True, capture_output=True, text=True)
        browser.name, browser.version = "Firefox ESR", said.stdout.split()[-1]
        yield browser


def trust(profile: Path, root: Path) -> None:
    """Make a profile's NSS database with this CA in it."""
    require("certutil")
    database = f"sql:{profile}"
    for step in (
        ["-N", "--empty-password"],
        ["-A", "-n", "lab", "-t", "CT,,", "-i", str(root)],
    ):
        subprocess.run(["certutil", "-d", database, *step], check=True, capture_output=True)
