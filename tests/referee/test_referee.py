"""Browsers are the referee: check passes where they carry data, and fails where they don't.

A tenth of the corpus, and whatever was once a disagreement; with SOAK=1 all of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pytest

from tests.lab.coturn import Version
from tests.referee import document
from tests.referee.configuration import Configuration
from tests.referee.corpus import CORPUS
from tests.referee.exceptions import EXCEPTIONS, allowed
from tests.referee.lab import built
from tests.referee.past import PAST
from tests.referee.trial import BY_CHANCE, Row, disagreement, run

SHARE = 10
"""One in so many configurations is tried in every run."""

Written = Mapping[tuple[str, str, Version], Row]


def chosen() -> Sequence[tuple[int, Configuration]]:
    """Each configuration with its number in the corpus, which its ports follow from."""
    numbered = list(enumerate(CORPUS))
    if os.environ.get("SOAK"):
        return numbered
    return [(number, part) for number, one in numbered if (part := _part(number, one)) is not None]


def _part(number: int, one: Configuration) -> Configuration | None:
    """What of a configuration is tried in every run: URLs that were a disagreement, or all of them
    in one of the versions.
    """
    if one.name in PAST:
        version, urls = PAST[one.name]
        return one.but(versions=(version,), urls=tuple(one.urls[url] for url in urls))
    if number % SHARE == 0:
        return one.but(versions=(one.versions[number // SHARE % len(one.versions)],))
    return None


@pytest.fixture(scope="module")
def written() -> Written:
    return document.read(document.PATH.read_text())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory, written: Written) -> Sequence[Row]:
    """What is seen now. Browsers and check give up at deadlines of their own, which a busy machine
    can bring about: what differs from the document is tried again, one server at a time.
    """
    directory = tmp_path_factory.mktemp("referee")
    tried = chosen()
    with built(directory) as (place, clients):
        seen = {row.key: row for row in run(tried, place, clients)}
        differ = {key[0] for key, row in seen.items() if row != written.get(key)} - BY_CHANCE
        again = [(number, one) for number, one in tried if one.name in differ]
        seen |= {row.key: row for row in run(again, place, clients, side_by_side=1)}
    return [*seen.values()]


def test_check_and_browsers_agree(rows: Sequence[Row]) -> None:
    """No pass that a browser does not share, no failing finding where both carry data."""
    said = {row.key: disagreement(row) for row in rows if allowed(row) is None}
    assert {} == {key: what for key, what in said.items() if what is not None}


def test_the_document_says_what_was_seen(rows: Sequence[Row], written: Written) -> None:
    seen = {row.key: row for row in rows if row.configuration not in BY_CHANCE}
    assert {key: written.get(key) for key in seen} == seen


def test_the_document_has_every_url(written: Written) -> None:
    expected = {
        (one.name, url, version) for one in CORPUS for url in one.urls for version in one.versions
    }
    assert expected == set(written)


def test_the_document_shows_no_contradiction_without_its_reason(written: Written) -> None:
    unexplained = [row for row in written.values() if disagreement(row) and not allowed(row)]
    assert [] == unexplained


def test_there_are_at_most_five_exceptions_and_each_is_needed(written: Written) -> None:
    used = {one.name for row in written.values() if disagreement(row) and (one := allowed(row))}
    assert {one.name for one in EXCEPTIONS} == used
    assert len(EXCEPTIONS) <= 5


def test_the_corpus_is_large_and_its_names_differ() -> None:
    assert len(CORPUS) >= 80
    assert len(CORPUS) == len({one.name for one in CORPUS})
    assert {*PAST} <= {one.name for one in CORPUS}
