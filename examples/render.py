"""Runs the examples and keeps what they print in `docs/examples/`, one page each.

python examples/render.py              # all of them: minutes to an hour, by the machine
python examples/render.py panel dose   # some of them
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PAGES = FOLDER.parent / "docs" / "examples"
NAMES = ("experiment", "clustered_experiment", "observational", "panel", "dose", "advertising", "adoption")


def page(name: str, printed: str) -> str:
    """Title and text of the script's docstring, then what it printed."""
    doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf8"))) or name
    title, _, about = doc.partition("\n")
    about = about.split("\n    python ")[0].strip()
    code = f"[`examples/{name}.py`](../../examples/{name}.py)"
    return f"# {title.rstrip('.')}\n\n{about}\n\nMade by {code}, printed as it is.\n\n```text\n{printed.strip()}\n```\n"


def render(names: list[str]) -> None:
    """Write the page of each example as it ends."""
    PAGES.mkdir(exist_ok=True)
    for name in names:
        done = subprocess.run(
            [sys.executable, FOLDER / f"{name}.py"], check=True, capture_output=True, text=True
        )
        (PAGES / f"{name}.md").write_text(page(name, done.stdout), encoding="utf8")
        print(f"wrote docs/examples/{name}.md", flush=True)


if __name__ == "__main__":
    render(sys.argv[1:] or list(NAMES))
