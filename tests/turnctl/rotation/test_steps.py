"""The order of a rotation's steps, and what is written down of it."""

from __future__ import annotations

import pytest

from signalpost.credentials import Secret
from turnctl.rotation.steps import (
    MARGIN,
    Kind,
    Rotation,
    Stage,
    digest,
    dump,
    load,
    rest,
    stage_of,
    switched,
)

OLD, NEW, OTHER = Secret("old-0123456789abcdef"), Secret("new-0123456789abcdef"), Secret("other")
BEGUN = Rotation(digest(NEW), (digest(OLD),), 60)
SETTLED = BEGUN.settled(1000.7, 60)


@pytest.mark.parametrize(
    ("rotation", "values", "now", "expected"),
    [
        (None, [OLD], 0, Stage.BEGIN),
        (None, [NEW, OLD], 0, Stage.BEGIN),
        (BEGUN, [OLD], 0, Stage.BEGIN),
        (BEGUN, [OLD, NEW], 0, Stage.SWITCH),
        (BEGUN, [OTHER, OLD, NEW], 0, Stage.SWITCH),
        (BEGUN, [NEW, OLD], 0, Stage.SETTLE),
        (SETTLED, [NEW, OLD], 1064, Stage.WAIT),
        (SETTLED, [NEW, OLD], 1065, Stage.REMOVE),
        (SETTLED, [NEW], 2000, Stage.REMOVE),
    ],
)
def test_the_next_step(
    rotation: Rotation | None, values: list[Secret], now: float, expected: Stage
) -> None:
    """It follows from the file's values in their order, the note and the time alone."""
    assert expected is stage_of(rotation, values, now)


def test_the_old_one_outlives_what_was_made_with_it() -> None:
    """A lifetime that was lowered meanwhile does not count, one that was raised does."""
    assert 1000 + 60 + MARGIN == BEGUN.settled(1000, 10).until
    assert 1000 + 90 + MARGIN == BEGUN.settled(1000, 90).until


def test_what_was_added_by_hand_stays() -> None:
    """The new one comes first and the others keep their order; the outgoing ones alone go."""
    assert (NEW, OTHER, OLD) == switched(BEGUN, [OTHER, OLD, NEW])
    assert (NEW, OTHER) == rest(BEGUN, [NEW, OTHER, OLD])


def test_the_note_is_read_as_it_was_written() -> None:
    """Every kind has its own rotation, settled or not."""
    notes = {Kind.TURN: SETTLED, Kind.API: BEGUN}
    assert notes == load(dump(notes))


def test_the_note_tells_no_secret() -> None:
    """Only the secret's file holds it."""
    text = dump({Kind.TURN: SETTLED})
    assert NEW.reveal() not in text
    assert OLD.reveal() not in text


ENTRY = '{"turn-secret": {"incoming": "a", "outgoing": %s, "longest": %s, "until": null}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "isn't a JSON object"),
        ('{"turn-secret": {}}', "a field is missing"),
        ('{"tea": {}}', "tea"),
        (ENTRY % ("[1]", "1"), "wrong type"),
        (ENTRY % ("[]", '"1"'), "wrong type"),
    ],
)
def test_another_text_is_no_note(text: str, said: str) -> None:
    """It is refused, not guessed at."""
    with pytest.raises(ValueError, match=said):
        load(text)
