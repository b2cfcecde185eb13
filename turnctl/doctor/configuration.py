"""The look at coturn's configuration: the file, the command line, and the version that reads them.

`optionrules.py`, `authrules.py` and `addressrules.py` have the rules.
"""

from __future__ import annotations

from turnctl.coturn.parsing import Conf
from turnctl.coturn.versions import Version
from turnctl.diagnosis.catalogue import Severity
from turnctl.doctor import optionrules
from turnctl.doctor.catalogue import found
from turnctl.doctor.look import Look

__all__ = ["describe", "look"]


def look(conf: Conf, version: Version | None) -> Look:
    """`version` is the one that runs, None if not known."""
    findings = [*optionrules.judge(conf, version)]
    if version and conf.made_for and version != conf.made_for:
        text = f"was made for coturn {conf.made_for}, but coturn {version} runs"
        findings.append(
            found(
                "configuration-for-other-version",
                Severity.WARN,
                conf.place,
                text,
                version=str(version),
            )
        )
    unknown = () if version else ("which options this coturn has: its version isn't known",)
    return Look("configuration", describe(conf, version), tuple(findings), unknown)


def describe(conf: Conf, version: Version | None) -> str:
    """The file in a few words."""
    of = f", coturn {version}" if version else ""
    return f"{conf.place}: {len(conf.lines)} options{of}"
