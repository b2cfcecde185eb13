"""The roots that apps built with libwebrtc trust for `turns:` URLs, unless they bring their own.

Browsers use the system's roots or their own store. libwebrtc has its own list,
`rtc_base/ssl_roots.h`, made from https://pki.goog/roots.pem. The names below are the subjects of
the list of 2023-05-09, which releases of 2026 still had. Some other projects have renewed it since.
"""

# ruff: noqa: E501  names stay on one line, so that a search finds them

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ROOTS", "TAKEN", "known_to_apps"]

TAKEN = "2023-05-09"

ROOTS = frozenset(
    {
        "CN=AAA Certificate Services,O=Comodo CA Limited,L=Salford,ST=Greater Manchester,C=GB",
        "CN=AffirmTrust Commercial,O=AffirmTrust,C=US",
        "CN=AffirmTrust Networking,O=AffirmTrust,C=US",
        "CN=AffirmTrust Premium ECC,O=AffirmTrust,C=US",
        "CN=AffirmTrust Premium,O=AffirmTrust,C=US",
        "CN=Baltimore CyberTrust Root,OU=CyberTrust,O=Baltimore,C=IE",
        "CN=COMODO Certification Authority,O=COMODO CA Limited,L=Salford,ST=Greater Manchester,C=GB",
        "CN=COMODO ECC Certification Authority,O=COMODO CA Limited,L=Salford,ST=Greater Manchester,C=GB",
        "CN=COMODO RSA Certification Authority,O=COMODO CA Limited,L=Salford,ST=Greater Manchester,C=GB",
        "CN=DigiCert Assured ID Root CA,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Assured ID Root G2,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Assured ID Root G3,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Global Root CA,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Global Root G2,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Global Root G3,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert High Assurance EV Root CA,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=DigiCert Trusted Root G4,OU=www.digicert.com,O=DigiCert Inc,C=US",
        "CN=Entrust Root Certification Authority - EC1,OU=(c) 2012 Entrust\\, Inc. - for authorized use only,OU=See www.entrust.net/legal-terms,O=Entrust\\, Inc.,C=US",
        "CN=Entrust Root Certification Authority - G2,OU=(c) 2009 Entrust\\, Inc. - for authorized use only,OU=See www.entrust.net/legal-terms,O=Entrust\\, Inc.,C=US",
        "CN=Entrust Root Certification Authority,OU=(c) 2006 Entrust\\, Inc.,OU=www.entrust.net/CPS is incorporated by reference,O=Entrust\\, Inc.,C=US",
        "CN=Entrust.net Certification Authority (2048),OU=(c) 1999 Entrust.net Limited,OU=www.entrust.net/CPS_2048 incorp. by ref. (limits liab.),O=Entrust.net",
        "CN=GTS Root R1,O=Google Trust Services LLC,C=US",
        "CN=GTS Root R2,O=Google Trust Services LLC,C=US",
        "CN=GTS Root R3,O=Google Trust Services LLC,C=US",
        "CN=GTS Root R4,O=Google Trust Services LLC,C=US",
        "CN=GlobalSign Root CA,OU=Root CA,O=GlobalSign nv-sa,C=BE",
        "CN=GlobalSign,O=GlobalSign,OU=GlobalSign ECC Root CA - R4",
        "CN=GlobalSign,O=GlobalSign,OU=GlobalSign ECC Root CA - R5",
        "CN=GlobalSign,O=GlobalSign,OU=GlobalSign Root CA - R3",
        "CN=GlobalSign,O=GlobalSign,OU=GlobalSign Root CA - R6",
        "CN=Go Daddy Root Certificate Authority - G2,O=GoDaddy.com\\, Inc.,L=Scottsdale,ST=Arizona,C=US",
        "CN=Starfield Root Certificate Authority - G2,O=Starfield Technologies\\, Inc.,L=Scottsdale,ST=Arizona,C=US",
        "CN=USERTrust ECC Certification Authority,O=The USERTRUST Network,L=Jersey City,ST=New Jersey,C=US",
        "CN=USERTrust RSA Certification Authority,O=The USERTRUST Network,L=Jersey City,ST=New Jersey,C=US",
        "OU=Go Daddy Class 2 Certification Authority,O=The Go Daddy Group\\, Inc.,C=US",
        "OU=Starfield Class 2 Certification Authority,O=Starfield Technologies\\, Inc.,C=US",
    }
)
"""Distinguished names in the form of RFC 4514."""


def known_to_apps(names: Iterable[str]) -> bool:
    """Whether a chain with these subjects and issuers leads to one of the roots."""
    return not ROOTS.isdisjoint(names)
