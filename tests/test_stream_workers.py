"""Processes that make the passes, where one of them is replaced."""

import time

import pytest

from hte_bridge.stream.workers import Processes

PAUSE = 1.2  # seconds: loky looks at memory once a second
LEAK = 400_000_000  # bytes beyond what loky lets a process grow


def growing(held):
    """A part that leaves memory behind, as a pass over many rows may."""
    from hte_bridge.stream import workers

    time.sleep(PAUSE)
    workers.__dict__.setdefault("left_behind", []).append(bytearray(b"x") * held)
    return held


@pytest.fixture(autouse=True)
def no_process_stays():
    yield
    Processes(2).rest()


@pytest.mark.slow
def test_a_process_whose_memory_grew_is_replaced_though_warnings_are_errors():
    parts = [0, 0, LEAK, LEAK, 0, 0]
    assert list(Processes(2).map(growing, parts)) == parts
