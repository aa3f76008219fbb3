"""Writes the table, the differences and the picture in README.md anew: the three engines on thornton_hiv.

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
    """The printed table, the differences between engines, and the picture."""
    averages = made.differences().where(estimand="ate")
    return (
        f"{BEGIN}\n```text\n{made}\n```\n\n"
        "Is the forest's or the deep average different from the other's, or from feols'? `table.differences()`, paired, with "
        f"its own standard error:\n\n```text\n{rows_only(str(averages))}\n```\n\n"
        f"![Effects by engine, with 95 % intervals](docs/{PICTURE.name})\n{END}"
    )


def rows_only(text: str) -> str:
    """A printed table without the notes below it."""
    lines = text.splitlines()
    end = next((k for k, line in enumerate(lines) if line.startswith("Outcome ")), len(lines))
    return "\n".join(lines[:end]).rstrip()


def replaced(text: str, new: str) -> str:
    """The page with the block between the markers exchanged."""
    before, rest = text.split(BEGIN)
    return before + new + rest.split(END)[1]


if __name__ == "__main__":
    found = comparison()
    coefficients(found).figure.savefig(PICTURE, dpi=200, bbox_inches="tight")
    README.write_text(replaced(README.read_text(), block(found)))
    print(f"wrote the table of {README.name} and docs/{PICTURE.name}")
