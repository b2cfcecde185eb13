"""How many cases a property is tried with."""

from __future__ import annotations

import os

CASES = 100_000 if os.environ.get("SOAK") else 2_000
