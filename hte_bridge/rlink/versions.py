"""What R must be for us, and the command that mends it where it is not."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hte_bridge.errors import RUnavailable

OLDEST_R = (4, 1)
OLDEST_PACKAGES = {"grf": (2, 3)}
PINNED = {"grf": "2.6.1"}  # as renv.lock has it: what our figures and tests were made with
STARTUP = "a start-up file of the site (`Rprofile.site`, or what R_PROFILE names)"
REINSTALL = (
    "pip install --force-reinstall --no-cache-dir rpy2==3.6.4 rpy2-rinterface==3.6.5 rpy2-robjects==3.6.6"
)
COMPILER = re.compile(rb"(?:GCC: \([^\0]{1,80}\)|(?:[A-Za-z]+ )?clang version) [0-9][0-9A-Za-z.+~-]*")


def library_path() -> Path | None:
    """Folder that comes first on R's library path: HTE_BRIDGE_R_LIBRARY, else ``r-library`` of this environment."""
    given = os.environ.get("HTE_BRIDGE_R_LIBRARY")
    if given:
        return Path(given)
    ours = Path(sys.prefix) / "r-library"
    return ours if ours.is_dir() else None


def install_r() -> str:
    """Command, or advice, that installs R."""
    if shutil.which("apt-get"):
        return "`sudo apt-get install r-base-core r-recommended r-base-dev`"
    return "R 4.1 or newer, with its recommended packages, from R's own page"


def install_package(name: str) -> str:
    """Command that installs an R package where the worker looks first."""
    folder = library_path()
    where = f', lib="{folder}"' if folder else ""
    return f"`Rscript -e 'install.packages(\"{name}\"{where})'`"


def cannot_start(part: str, said: str) -> RUnavailable:
    """The error for a worker that could not start R.

    Examples
    --------
    >>> print(cannot_start("rpy2", "ImportError: no module"))  # doctest: +ELLIPSIS
    rpy2 must load, to reach R from Python. It does not: ImportError: no module. Reinstall it: `pip install ...`.
    """
    if part == "R_HOME":
        return RUnavailable(
            f"`R_HOME` must be the folder of an R, or unset. It is `{said}`, where there is no `bin/R`. Unset it, or set it "
            "to what `R RHOME` prints."
        )
    if part == "start":
        return RUnavailable(
            f"R must start and say its settings. It ended before it did ({said}). Look at {STARTUP}: it may call `quit()`; and "
            "see that the temporary folder (TMPDIR) has room."
        )
    if part == "R":
        return RUnavailable(
            f"R must be installed for this engine. It was not found ({said}). Install it: {install_r()}, then the "
            f"forests: {install_package('grf')}."
        )
    return RUnavailable(
        f"rpy2 must load, to reach R from Python. It does not: {said}. Reinstall it: `{REINSTALL}`."
    )


def missing_package(name: str, libraries: list[str]) -> RUnavailable:
    """The error for an R package that is not installed."""
    return RUnavailable(
        f"The R package {name} must be installed. It is in none of R's libraries ({', '.join(libraries)}). "
        f"Install it: {install_package(name)}."
    )


def check(hello: Mapping[str, Any]) -> None:
    """R and its packages, as the worker described them, are new enough.

    Raises
    ------
    RUnavailable
        With the version found and the command that mends it.
    """
    if _numbers(hello["r"]) < OLDEST_R:
        raise RUnavailable(
            f"R must be {_dotted(OLDEST_R)} or newer. {hello['r']} was found in {hello['home']}. Install a newer one: "
            f"{install_r()}, and put it first on the PATH."
        )
    for name, oldest in OLDEST_PACKAGES.items():
        version = hello["packages"].get(name, "")
        if version and _numbers(version) < oldest:
            raise RUnavailable(
                f"The R package {name} must be {_dotted(oldest)} or newer. {version} was found. Install a newer one: "
                f"{install_package(name)}."
            )


def unlike_pinned(package: str, version: str) -> str:
    """What to say where a package is not of the pinned version; empty where it is.

    Examples
    --------
    >>> unlike_pinned("grf", "2.3.9")
    'made with grf 2.3.9, not the pinned 2.6.1: numbers may differ from those of the pinned version'
    >>> unlike_pinned("grf", PINNED["grf"])
    ''
    """
    if version == PINNED[package]:
        return ""
    return f"made with {package} {version}, not the pinned {PINNED[package]}: numbers may differ from those of the pinned version"


@lru_cache
def compiler(file: str) -> str:
    """The compiler that made a shared library, as it wrote itself into it; empty where it did not."""
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = COMPILER.search(content)
        return found.group().decode(errors="replace") if found else ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
