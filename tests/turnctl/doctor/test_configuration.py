"""The look at the configuration as a whole. test_optionrules.py has its rules."""

from __future__ import annotations

from turnctl.coturn.parsing import parse
from turnctl.coturn.rendering import Configuration, render
from turnctl.coturn.versions import Version
from turnctl.doctor.configuration import look

TEXT = render(Configuration(Version(4, 18, 0), "r", ("198.51.100.7",), "/d"))


def test_the_version_that_runs() -> None:
    """The file was made for it; another one is a warning that names it."""
    conf = parse("f", TEXT)
    seen = look(conf, Version(4, 18, 0))
    assert (f"f: {len(conf.lines)} options, coturn 4.18.0", "pass") == (seen.seen, seen.verdict)
    warned = [one for one in look(conf, Version(4, 17, 2)).findings if "made for" in one.summary]
    assert ["configuration-for-other-version"] == [one.code for one in warned]
    assert "4.17.2" in warned[0].fix


def test_a_version_that_is_not_known() -> None:
    """What it has can't be known, and that is said."""
    seen = look(parse("f", TEXT), None)
    assert ("unknown", 1) == (seen.verdict, len(seen.unknown))
