"""The page that says which verb works for which engine, made from the rows of engines that need neither R nor torch."""

import importlib.util
from pathlib import Path

import pytest

BENCH = Path(__file__).parent.parent / "bench" / "support.py"
spec = importlib.util.spec_from_file_location("support", BENCH)
support = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)


def lines_of(kind):
    notes = []
    lines = support.section(kind, ["grf", "deep", "stack"], notes)
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {first: rest for first, *rest in cells}, notes


def test_what_works_with_a_binary_treatment():
    found, notes = lines_of("binary")
    assert found["verb"] == ["feols", "meta-R", "given"]
    for verb in (
        "ate",
        "att",
        "ato",
        "gate",
        "projection",
        "differences",
        "race",
        "agreement",
        "explain_gap",
    ):
        assert found[verb] == ["yes", "yes", "yes"], (verb, notes)
    assert found["rate"][:2] == ["yes", "yes"]
    assert found["rate"][2].startswith("no [")  # columns from elsewhere cannot be fitted to earlier folds
    assert found["cate of new rows"][1].startswith("no interval [")


def test_each_no_has_a_reason():
    found, notes = lines_of("panel")
    assert found["ape"][0] == "yes"
    assert found["ate"][1].startswith("no [")  # a meta-learner does not sweep out effects
    for verb, cells in found.items():
        for each in cells if verb != "verb" else ():
            assert each == "yes" or "[" in each, (verb, each)
    assert all(note.endswith((".", "`", ")")) or len(note) > 10 for note in notes)


def test_a_row_without_numbers_is_a_no():
    from hte_bridge.table import Estimate

    assert support.cell([]) == ("no", "it gives no row")
    assert support.cell([Estimate.missing("ate", "why")]) == ("no", "why")
    assert support.cell([Estimate("ate", 1.0, note="n")]) == ("no interval", "n")
    assert support.cell([Estimate("ate", 1.0, 0.1)]) == ("yes", "")


@pytest.mark.parametrize("kind", support.KINDS)
def test_the_page_holds_every_kind(kind):
    page = (BENCH.parent.parent / "docs" / "support.md").read_text(encoding="utf8")
    assert f"## With {support.NAMES[kind]}" in page


def test_the_page_says_which_engine_takes_which_role():
    page = (BENCH.parent.parent / "docs" / "support.md").read_text(encoding="utf8")
    assert support.ROLES.read_text(encoding="utf8").strip() in page
