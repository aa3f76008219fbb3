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
BROUGHT = ("grf", "maq", "policytree")  # what `hte-bridge setup` installs
INSTALL_R = {  # package client on the PATH -> command; the first that is there
    "apt-get": "sudo apt-get install r-base-core r-recommended r-base-dev",
    "dnf": "sudo dnf install R",
    "pacman": "sudo pacman -S r gcc-fortran",
    "zypper": "sudo zypper install R-base R-base-devel",
    "brew": "brew install r",
    "conda": "conda install r-base",
}
STARTUP = "a start-up file of the site (`Rprofile.site`, or what R_PROFILE names)"
RPY2_BEFORE = (4, 5)  # rpy2-rinterface 3.6.6 and later call what this R brought
COMPILER = re.compile(rb"(?:GCC: \([^\0]{1,80}\)|(?:[A-Za-z]+ )?clang version) [0-9][0-9A-Za-z.+~-]*")


def library_path() -> Path | None:
    """Folder that comes first on R's library path: HTE_BRIDGE_R_LIBRARY, else ``r-library`` of this environment, or at home."""
    given = os.environ.get("HTE_BRIDGE_R_LIBRARY")
    if given:
        return Path(given)
    return next((each for each in (Path(sys.prefix) / "r-library", library_at_home()) if each.is_dir()), None)


def library_at_home() -> Path:
    """The user's own folder for an R library, for a Python whose folder is the system's."""
    if sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "hte-bridge" / "r-library"


def library_to_make() -> Path:
    """Where to install R packages: where we look already, else in this environment, or at home where it is the system's."""
    there = library_path()
    if there is not None:
        return there
    of_its_own = sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ
    return (
        Path(sys.prefix) / "r-library" if of_its_own and os.access(sys.prefix, os.W_OK) else library_at_home()
    )


def install_r() -> str:
    """Command, or advice, that installs R on this system."""
    for client, command in INSTALL_R.items():
        if shutil.which(client):
            return f"`{command}`"
    return "R 4.1 or newer, with its recommended packages, from R's own page, or `conda install r-base` without root"


def install_compiler() -> str:
    """Command, or advice, that installs what R compiles with."""
    if sys.platform == "darwin":
        return "`xcode-select --install`, and gfortran from R's own page"
    return install_r() if shutil.which("apt-get") else "a C++ and a Fortran compiler, with make"


def install_package(name: str) -> str:
    """Command that installs an R package where the worker looks first: what we pin by a verb of our own.

    Examples
    --------
    >>> install_package("grf"), install_package("maq")
    ('`hte-bridge setup`', '`hte-bridge setup maq`')
    """
    if name in BROUGHT:
        return "`hte-bridge setup`" if name == "grf" else f"`hte-bridge setup {name}`"
    folder = library_path()
    where = f', lib="{folder}"' if folder else ""
    return f"`Rscript -e 'install.packages(\"{name}\"{where})'`"


def reinstall_rpy2(r: str) -> str:
    """Command that builds rpy2 for an R of this version, anew.

    Examples
    --------
    >>> reinstall_rpy2("4.5.1")
    "pip install --force-reinstall --no-cache-dir 'hte-bridge[r]'"
    >>> reinstall_rpy2("4.2.2")
    "pip install --force-reinstall --no-cache-dir 'hte-bridge[r]' 'rpy2-rinterface<3.6.6'"
    """
    older = " 'rpy2-rinterface<3.6.6'" if _numbers(r) < RPY2_BEFORE else ""
    return f"pip install --force-reinstall --no-cache-dir 'hte-bridge[r]'{older}"


def cannot_start(part: str, said: str) -> RUnavailable:
    """The error for a worker that could not start R.

    Examples
    --------
    >>> print(cannot_start("R", "no `R` on the PATH"))  # doctest: +ELLIPSIS
    R must be installed for this engine. It was not found (no `R` on the PATH). Install it: ..., then the forests: `hte-bridge setup`.
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
    return RUnavailable(
        f"R must be installed for this engine. It was not found ({said}). Install it: {install_r()}, then the "
        f"forests: {install_package('grf')}."
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
        if version and too_old(name, version):
            raise RUnavailable(
                f"The R package {name} must be {_dotted(oldest)} or newer. {version} was found. Install a newer one: "
                f"{install_package(name)}."
            )


def too_old(package: str, version: str) -> bool:
    """Whether our R code asks more of a package than this version has.

    Examples
    --------
    >>> too_old("grf", "2.2.1"), too_old("grf", "2.6.1"), too_old("zoo", "1.0")
    (True, False, False)
    """
    return _numbers(version) < OLDEST_PACKAGES.get(package, ())


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
