"""The facts about a refused credential; `test_refusal` has what follows from them."""

from __future__ import annotations

import pytest

from signalpost.credentials import read_username
from tests.turnctl.diagnosis.rules.stories import ERROR, NOW, OK, UDP, USER, plan, step, story
from turnctl.diagnosis.case import Record
from turnctl.diagnosis.observations import Allocation, Challenge, Observation, Recomputed, Trial
from turnctl.diagnosis.rules.refused import Credential, Timed
from turnctl.wire.outcome import Outcome


def facts(*others: Observation, user: str = USER) -> tuple[Credential, Timed]:
    """What is known of a user's refused credential."""
    refused = step(Allocation, outcome=ERROR, code=401, username=user)
    seen = [*story(step(Challenge, nonce="f" * 16), refused), *others]
    record = Record.of(plan(UDP, user=user), seen)
    credential = Credential.of(record.cases[0], refused)
    return credential, Timed.of(record, record.cases[0], refused, credential, NOW)


def trial(left: int, outcome: Outcome) -> Trial:
    """A new credential that ends in so many seconds."""
    expires = int(NOW) + left
    return Trial(url=UDP, family=4, kind="fresh", source="secret", expires=expires, outcome=outcome)


def test_the_end_is_in_the_user_name() -> None:
    """It counts from this machine's now."""
    credential, timed = facts()
    assert read_username(USER).expires == credential.expires == timed.expires
    assert 600 == timed.left


@pytest.mark.parametrize(
    ("trials", "ended"),
    [([], None), ([trial(9_000, OK)], True), ([trial(9_000, ERROR)], None)],
)
def test_whether_it_ended_follows_from_one_that_lasts_longer(
    trials: list[Trial], ended: bool | None
) -> None:
    """If a later one is accepted, the earlier one has ended. A refusal proves nothing."""
    assert ended is facts(*trials)[1].ended


def test_one_that_ends_at_the_same_time_is_ignored() -> None:
    """It can't show anything that the refused one didn't."""
    timed = facts(trial(600, ERROR))[1]
    assert ((), ()) == (timed.taken, timed.refused)


def test_a_name_without_a_time_that_is_signed_with_the_secret() -> None:
    """Then the missing time is the mistake; without the secret it may be a fixed user."""
    made = Recomputed(url=UDP, family=4, right=True)
    assert ("time-missing",) == facts(made, user="alice")[0].in_name
    assert () == facts(user="alice")[0].in_name
