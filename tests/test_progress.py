"""Bars on a terminal, in a notebook and in R: one at a time, with the steps within at its end, and no escape codes."""

import io
import sys
import types

from hte_bridge import progress


def stream(monkeypatch):
    made = io.StringIO()
    monkeypatch.setattr(sys, "stderr", made)
    return made


def test_a_bar_names_its_step_and_the_steps_within_without_escape_codes(monkeypatch):
    stderr = stream(monkeypatch)
    monkeypatch.setenv("HTE_BRIDGE_PROGRESS", "1")
    for _ in progress.steps(range(2), "compare"):
        assert list(progress.steps(range(3), "deep: fits")) == [0, 1, 2]
    text = stderr.getvalue()
    assert "compare" in text
    assert "deep: fits 2/3" in text
    assert "\x1b" not in text
    assert progress._shown == []


def test_a_bar_that_is_left_early_makes_room_for_the_next(monkeypatch):
    stderr = stream(monkeypatch)
    monkeypatch.setenv("HTE_BRIDGE_PROGRESS", "1")
    made = progress.steps(range(2), "second")
    next(made)
    made.close()
    assert list(progress.steps(range(2), "third")) == [0, 1]
    assert "third" in stderr.getvalue()


def test_a_notebook_has_bars_although_it_has_no_terminal(monkeypatch):
    stream(monkeypatch)
    monkeypatch.delenv("HTE_BRIDGE_PROGRESS", raising=False)
    assert not progress.wanted()
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(
        sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, version_info=(8,))
    )
    assert progress.wanted()
    assert list(progress.steps(range(2), "in a notebook")) == [0, 1]
