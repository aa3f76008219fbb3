"""Writes the table and the picture in README.md anew: the three engines on thornton_hiv.

python bench/readme.py
"""

from __future__ import annotations

from pathlib import Path

import hte_bridge as hb
from hte_bridge.demo import EXAMPLES
from hte_bridge.plot import coefficients

BEGIN, END = "<!-- table: made by bench/readme.py -->", "<!-- end of table -->"
README = Path(__file__).parents[1] / "README.md"
PICTURE = README.parent / "docs" / "thornton_hiv.png"


def comparison(num_trees: int = 2000) -> hb.Comparison:
    """The three engines on thornton_hiv."""
    study = EXAMPLES["thornton_hiv"].study()
    return hb.compare(
        study, [hb.Feols(), hb.CausalForest(num_trees=num_trees, seed=1), hb.Deep(seed=1)], seed=1
    )


def block(made: hb.Comparison) -> str:
    """The printed table and the picture."""
    return f"{BEGIN}\n```text\n{made}\n```\n\n![Effects by engine, with 95 % intervals](docs/{PICTURE.name})\n{END}"


def replaced(text: str, new: str) -> str:
    """The page with the block between the markers exchanged."""
    before, rest = text.split(BEGIN)
    return before + new + rest.split(END)[1]


if __name__ == "__main__":
    found = comparison()
    coefficients(found).figure.savefig(PICTURE, dpi=200, bbox_inches="tight")
    README.write_text(replaced(README.read_text(), block(found)))
    print(f"wrote the table of {README.name} and docs/{PICTURE.name}")
