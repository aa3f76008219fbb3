"""Writes the table in README.md anew: the three engines on thornton_hiv, printed as a user sees it.

python bench/readme.py
"""

from __future__ import annotations

from pathlib import Path

import hte_bridge as hb
from hte_bridge.demo import EXAMPLES

BEGIN, END = "<!-- table: made by bench/readme.py -->", "<!-- end of table -->"
README = Path(__file__).parents[1] / "README.md"


def block(num_trees: int = 2000) -> str:
    """The printed table as a fenced block."""
    study = EXAMPLES["thornton_hiv"].study()
    engines = [hb.Feols(), hb.CausalForest(num_trees=num_trees, seed=1), hb.Deep(seed=1)]
    return f"{BEGIN}\n```text\n{hb.compare(study, engines, seed=1)}\n```\n{END}"


def replaced(text: str, new: str) -> str:
    """The page with the block between the markers exchanged."""
    before, rest = text.split(BEGIN)
    return before + new + rest.split(END)[1]


if __name__ == "__main__":
    README.write_text(replaced(README.read_text(), block()))
    print(f"wrote the table of {README.name}")
