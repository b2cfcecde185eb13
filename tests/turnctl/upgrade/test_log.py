"""What the loop sends of the relays' logs."""

from __future__ import annotations

from turnctl.upgrade.log import complaints, sections, tail

LOG = """== coturn-next
0: : ERROR: Bad configuration format: no-such-option
0: : Listener opened on : 203.0.113.1:3479
== coturn-edge-next
0: : Listener opened on : 127.0.0.1:3483
"""


def test_sections_of_what_was_printed() -> None:
    """A relay each."""
    assert ["coturn-next", "coturn-edge-next"] == [*sections(LOG)]
    assert "127.0.0.1:3483" in sections(LOG)["coturn-edge-next"]
    assert {} == sections("no section")


def test_options_that_are_not_accepted() -> None:
    """coturn runs on after them, so the log is the only place that tells."""
    (told,) = complaints(LOG)
    assert "coturn-next" in told
    assert "no-such-option" in told
    assert [] == complaints(LOG.replace("Bad configuration", "Good configuration"))


def test_the_last_lines() -> None:
    """Of each relay."""
    text = "== a\n" + "\n".join(map(str, range(100))) + "\n== b\nx"
    assert [*map(str, range(85, 100)), "x"] == tail(text)
