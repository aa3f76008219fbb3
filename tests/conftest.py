"""Tests that need what is not installed are skipped, with the reason; `make test` installs it first."""

from functools import cache
from importlib.util import find_spec

import pytest

from hte_bridge import doctor
from tests.properties import profiles  # noqa: F401  registers them before pytest chooses one


@cache
def without_r() -> str:
    """Why tests marked `r` cannot run; empty where they can."""
    there = doctor.ask_r()
    if not there.version:
        return f"R is missing: {there.error}"
    if not there.grf:
        return f"the R package grf is missing: {there.error}"
    return "" if find_spec("rpy2") else "rpy2 is missing"


@cache
def without_gpu() -> str:
    """Why tests marked `gpu` cannot run; empty where they can."""
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, why in (("r", without_r), ("gpu", without_gpu)):
        if item.get_closest_marker(mark) and why():
            pytest.skip(why())
