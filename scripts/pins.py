"""Writes hte_bridge/rlink/setup/renv.lock, which wheels carry: of renv.lock what `hte-bridge setup` may install."""

import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "hte_bridge" / "rlink" / "setup" / "renv.lock"
WANTED = ("grf", "maq", "policytree")


def pins() -> str:
    """The lock file of ``WANTED`` and all that they need, as text."""
    lock = json.loads((ROOT / "renv.lock").read_text())
    packages, need, found = lock["Packages"], list(WANTED), set()
    while need:
        name = need.pop()
        if name in packages and name not in found:
            found.add(name)
            need += packages[name].get("Requirements", [])
    lock["Packages"] = {name: packages[name] for name in sorted(found)}
    return json.dumps(lock, indent=2) + "\n"


if __name__ == "__main__":
    SHIPPED.write_text(pins())
