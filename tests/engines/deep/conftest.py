"""Fixtures of the deep engine's tests."""

from dataclasses import replace

import pytest

from hte_bridge.engines.deep import accounts, route_basis


@pytest.fixture
def blocks_alone(monkeypatch):
    """Blocks of features give the whole answer of a large cross-section, as they do with most rows."""
    monkeypatch.setattr(accounts, "ACCOUNTS", replace(accounts.ACCOUNTS, most_rows=0))
    monkeypatch.setattr(route_basis, "ACCOUNTS", accounts.ACCOUNTS)
