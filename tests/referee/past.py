"""What check and the browsers once disagreed on: tried again in every run."""

from __future__ import annotations

from collections.abc import Mapping

from tests.lab.coturn import Version

__all__ = ["PAST"]

PAST: Mapping[str, tuple[Version, tuple[int, ...]]] = {
    "realm-missing-secret": ("4.18.0", (0,)),
    "realm-missing-ltcred": ("4.6.1", (1,)),
    "realm-empty": ("4.18.0", (1,)),
    "realm-quotes-alone": ("4.6.1", (0,)),
    "nat-only-listener-forwarded": ("4.18.0", (0,)),
    "reply-from-other-address": ("4.18.0", (0,)),
    "proxy-on-the-same-host": ("4.6.1", (0,)),
    "listening-ip6": ("4.6.1", (0,)),
    "aaaa-without-listener": ("4.18.0", (0,)),
    "port-53": ("4.18.0", (2,)),
    "port-81": ("4.18.0", (2,)),
    "url-forms": ("4.18.0", (3, 17, 18, 25, 26, 31)),
    "unicode-password": ("4.18.0", (0,)),
    "realm-of-200": ("4.18.0", (1,)),
    "tls-address": ("4.18.0", (0,)),
    "tls-address6": ("4.6.1", (0,)),
    "tls-common-name-alone": ("4.18.0", (0,)),
    "tls-ed25519": ("4.6.1", (0,)),
    "tls-p521": ("4.18.0", (0,)),
    "tls-authority-as-server": ("4.6.1", (0,)),
    "tls-key-agreement-alone": ("4.18.0", (0,)),
    "tls-cipher-cbc": ("4.6.1", (0,)),
    "tls-cipher-rsa": ("4.6.1", (0,)),
    "tls-cipher-dhe": ("4.6.1", (0,)),
    "tls-curve-p521": ("4.18.0", (0,)),
    "edge-no-proxy": ("4.18.0", (0,)),
    "relay-range-below-1024": ("4.6.1", (1,)),
    "allocate-lifetime-ten": ("4.18.0", (0,)),
    "max-bps-500": ("4.18.0", (0,)),
    "alternate-server": ("4.18.0", (1,)),
}
"""Configuration → coturn's version, and which of its URLs."""
