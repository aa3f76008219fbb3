"""How many examples: 200 in the suite, 20,000 under ``--hypothesis-profile long``; dear tests take a share, and have a bound of their own.

With ``HTE_BRIDGE_COUNTS=folder`` each process writes what it tried and how it ended there, every few seconds and at its end, so that
a long one that is stopped leaves what it has; ``bench.reliability`` reads it.
"""

import atexit
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

QUIET: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
settings.register_profile("suite", max_examples=200, derandomize=True, **QUIET)
settings.register_profile("long", max_examples=20_000, derandomize=False, **QUIET)
settings.register_profile("quick", max_examples=400, derandomize=True, phases=[Phase.generate], **QUIET)
settings.load_profile("suite")
COUNTS: Counter[tuple[str, str]] = Counter()
EVERY = 5.0  # seconds between two writings of the counts
WRITTEN = {"at": time.monotonic()}


def examples(share: float = 1.0, most: int = 20_000) -> Callable[[Any], Any]:
    """A test's part of the examples of the profile that pytest has chosen by the time it imports the test; ``most`` under any profile.

    A part that rounds to none skips the test: it is one of the long profile alone.
    """
    number = min(most, round(share * settings().max_examples))
    if not number:
        return pytest.mark.skip(reason="of the long profile alone")
    return lambda test: settings(max_examples=number)(test)


def count(what: str, ended: str) -> None:
    """One more example of ``what`` that ended so."""
    COUNTS[what, ended] += 1
    if time.monotonic() - WRITTEN["at"] > EVERY:
        _write()


@atexit.register
def _write() -> None:
    WRITTEN["at"] = time.monotonic()
    folder = os.environ.get("HTE_BRIDGE_COUNTS")
    if folder and COUNTS:
        rows = [[*key, number] for key, number in COUNTS.items()]
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(rows))
