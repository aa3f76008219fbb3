"""Whether a number that decides acts: doubled or halved it changes what a function says."""

from __future__ import annotations

from collections.abc import Callable

from bench.constants import FACTORS, constants
from hte_bridge.digest import fingerprint

CONSTANTS = {each.name: each for each in constants()}


def idle(scenario: Callable[[], object], said: str) -> list[str]:
    """Of ``said``, a module and names of its numbers (``"gp.hmc: leap rows"``), those that change nothing that a function says."""
    module, _, fields = said.partition(": ")
    before = fingerprint(scenario())
    return [each for each in fields.split() if not moves(scenario, f"{module}.{each}", before)]


def moves(scenario, name, before):
    """Whether a number, doubled or halved, changes what a function says; that it then says nothing is a change."""
    for factor in FACTORS.values():
        with CONSTANTS[name].at(factor):
            try:
                now = fingerprint(scenario())
            except (ValueError, IndexError):
                return True
        if now != before:
            return True
    return False
