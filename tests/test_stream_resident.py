"""stream/resident.py: pages of files that a process holds are let go, and nothing that was written is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hte_bridge.stream import Store, resident
from hte_bridge.stream.resident import OURS, STATM, pages_of_files

SIZE = 1 << 26  # bytes of an array
RULE = resident.ResidentRule(most=1 << 22, apart=0.01)

pytestmark = pytest.mark.skipif(not STATM.exists(), reason="the system does not say what a process holds")


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(resident, "RESIDENT", RULE)
    store = Store.temporary()
    with store.writing("numbers", (SIZE // 8,), float) as out:
        out[:] = np.arange(len(out))
        time.sleep(20 * RULE.apart)  # what is written is let go while it is open for writing
        out[:5] += 0.5
    return store


def test_what_was_written_is_there_after_its_pages_went(watched):
    found = watched.read("numbers")
    expected = np.arange(SIZE // 8) + np.where(np.arange(SIZE // 8) < 5, 0.5, 0.0)
    assert np.array_equal(found, expected)


def test_pages_of_an_array_that_was_read_do_not_stay(watched):
    before = pages_of_files()
    found = watched.read("numbers")
    total = float(found.sum())
    until = time.monotonic() + 10
    while pages_of_files() > before + SIZE // 4 and time.monotonic() < until:
        time.sleep(RULE.apart)
    assert pages_of_files() < before + SIZE // 4
    assert float(found.sum()) == total


def test_who_looks_after_them_goes_with_the_arrays(watched):
    found = watched.read("numbers")
    assert OURS.looking.is_alive()
    del found
    watched.drop("numbers")
    until = time.monotonic() + 10
    while OURS.looking.is_alive() and time.monotonic() < until:
        time.sleep(RULE.apart)
    assert not OURS.looking.is_alive()
