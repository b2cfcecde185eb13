"""The settings, their table and their document."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

import yaml

from signalpost.config.loading import SETTINGS, show
from signalpost.config.settings import Settings
from signalpost.limits import Rate

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_table_is_the_settings() -> None:
    """Every field of Settings has its row in the table, and every row its field."""

    def leaves(value: object, prefix: str) -> list[str]:
        if not is_dataclass(value):
            return [prefix]
        names = ((f"{prefix}.{f.name}".lstrip("."), getattr(value, f.name)) for f in fields(value))
        return [
            leaf
            for name, inner in names
            for leaf in ([name] if isinstance(inner, Rate) else leaves(inner, name))
        ]

    assert leaves(Settings(), "") == [setting.key for setting in SETTINGS]


def test_every_setting_is_documented() -> None:
    """docs/configuration.md has a row for each setting, with its default."""
    rows = re.findall(r"(?m)^\| `([a-z_.]+)` \| (.*?) \|", DOCUMENT.read_text(encoding="utf-8"))
    assert [key for key, _ in rows] == [setting.key for setting in SETTINGS]
    shown = yaml.safe_load(show(Settings()))
    for key, default in rows:
        value = shown
        for part in key.split("."):
            value = value[part]
        if "*secret*" not in default:
            assert yaml.safe_load(default.strip("`")) == value, key
