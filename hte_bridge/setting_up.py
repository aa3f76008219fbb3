"""`hte-bridge setup`: the R packages that an engine asks for, at their pinned versions, into a library of our own."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hte_bridge.errors import InvalidOption, RUnavailable, UnwritableFolder, nearest
from hte_bridge.rlink import versions

FOLDER = Path(versions.__file__).parent / "setup"
LOCK, RESTORE = FOLDER / "renv.lock", FOLDER / "restore.R"
RSCRIPT = ("Rscript", "--no-save", "--no-restore", "--no-init-file")
WITH_R = ("Matrix", "lattice")  # grf needs them; R's recommended packages, which no lock holds
# package -> megabytes of its source, megabytes once installed, seconds of one core to compile it (measured on a server, 2026)
COSTS = {
    "BH": (14, 155, 40),
    "DiceKriging": (1, 1, 10),
    "Rcpp": (2, 11, 60),
    "RcppEigen": (2, 40, 30),
    "grf": (1, 56, 300),
    "lmtest": (1, 1, 8),
    "maq": (1, 8, 40),
    "policytree": (1, 3, 30),
    "renv": (2, 4, 20),
    "sandwich": (2, 2, 8),
    "zoo": (1, 2, 15),
}
QUIET_SECONDS = 30  # after that a line says that it goes on
LAST_LINES = 12
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ASK = """
given <- commandArgs(TRUE)
.libPaths(c(given[1L], .libPaths()))
repos <- Sys.getenv("RENV_CONFIG_REPOS_OVERRIDE", getOption("repos")[["CRAN"]])
if (repos == "@CRAN@") repos <- utils::getCRANmirrors(local.only = TRUE)$URL[1L]
loads <- function(name) if (requireNamespace(name, quietly = TRUE)) as.character(utils::packageVersion(name)) else ""
compiler <- system2(file.path(R.home("bin"), "R"), c("CMD", "config", "CXX"), stdout = TRUE, stderr = FALSE)
writeLines(c(as.character(getRversion()), repos, paste(compiler, collapse = " "), vapply(given[-1L], loads, "")))
"""


@dataclass(frozen=True)
class Plan:
    """What there is to install, and where.

    Parameters
    ----------
    r : str
        Version of R.
    library : Path
        Folder of the R library.
    mirror : str
        Address of the CRAN that packages come from.
    compiler : str
        The C++ compiler that R is set to use.
    packages : mapping of str to str
        Package -> pinned version; empty where all that was asked for loads.
    without : tuple of str
        R's recommended packages that are not there.
    """

    r: str
    library: Path
    mirror: str
    compiler: str
    packages: Mapping[str, str]
    without: tuple[str, ...] = ()

    def cost(self) -> str:
        """What it takes, in words: megabytes to load, megabytes on the disk, minutes on this machine's cores.

        Examples
        --------
        >>> Plan("4.2.2", Path("r"), "", "", {"zoo": "1.9-1"}).cost()[:40]
        'about 1 MB to download, 2 MB on the disk'
        """
        costs = [COSTS[name] for name in self.packages]
        load, disk, seconds = (sum(each) for each in zip(*costs, strict=True))
        cores = min(cores_to_use(), 4)  # one large package is compiled by few at once
        low, high = math.ceil(seconds / cores / 60), math.ceil(2 * seconds / cores / 60)
        return f"about {load} MB to download, {disk} MB on the disk, {low} to {high} minutes to compile on {cores_to_use()} cores"

    def to_text(self) -> str:
        """The plan, a line each."""
        names = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        return "\n".join(
            [
                f"R {self.r}: {names}",
                f"from {self.mirror}",
                f"into {self.library} (no root needed; nothing else on this machine is changed)",
                f"cost {self.cost()}",
            ]
        )


def cores_to_use() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def needed(packages: Sequence[str]) -> dict[str, str]:
    """Pinned versions of packages and of all that they need, those first.

    Raises
    ------
    InvalidOption
        If one is not among those that we pin.

    Examples
    --------
    >>> list(needed(["maq"])), needed(["grf"])["grf"]
    (['Rcpp', 'maq'], '2.6.1')
    """
    lock = json.loads(LOCK.read_text())["Packages"]
    found: dict[str, str] = {}
    for name in packages:
        if name not in versions.BROUGHT:
            said = nearest(name, versions.BROUGHT, kind="They")
            raise InvalidOption(
                f"`hte-bridge setup` brings the R packages that engines ask for. `{name}` is not one. {said}"
            )
        found |= _closure(lock, name)
    return found


def _closure(lock: Mapping[str, dict[str, object]], name: str) -> dict[str, str]:
    """A package after those that it needs."""
    found: dict[str, str] = {}
    requirements = lock[name].get("Requirements", [])
    assert isinstance(requirements, list)
    for each in requirements:
        if each in lock:
            found |= _closure(lock, each)
    return found | {name: str(lock[name]["Version"])}


def plan(packages: Sequence[str], repos: str | None = None) -> Plan:
    """Ask R what is there, and say what is to be done; nothing is changed.

    Raises
    ------
    RUnavailable
        If R is missing, ends, is too old, or lacks its recommended packages or a compiler.
    InvalidOption
        If a package is not one of ours.
    """
    pinned = needed(packages)
    if shutil.which("Rscript") is None:
        raise RUnavailable(
            f"R must be there to install its packages. No `Rscript` is on the PATH. Install R: {versions.install_r()}; then run "
            "`hte-bridge setup` again. feols and deep need no R."
        )
    library = versions.library_to_make()
    said = subprocess.run(
        [*RSCRIPT, "-e", ASK, str(library), *packages, *WITH_R, *pinned],
        env=_environment(repos),
        capture_output=True,
        text=True,
    )
    lines = said.stdout.splitlines()
    if said.returncode or len(lines) < 3:
        last = (said.stderr.strip().splitlines() or ["nothing"])[-1]
        raise RUnavailable(
            f"R must start and say its settings. It ended with status {said.returncode} and said: {last}. See `hte-bridge doctor`."
        )
    there = dict(zip([*packages, *WITH_R], lines[3:], strict=False))
    new_enough = lambda name: there[name] and not versions.too_old(name, there[name])
    wanted = needed([name for name in packages if not new_enough(name)])
    have = dict(zip(pinned, lines[3 + len(packages) + len(WITH_R) :], strict=True))
    missing = {name: version for name, version in wanted.items() if have[name] != version}
    without = tuple(name for name in WITH_R if not there[name])
    return Plan(lines[0], library, lines[1], lines[2], missing, without)


def check(planned: Plan, *, make: bool) -> None:
    """What compiling needs is there, and the library can be written; it is made where ``make``.

    Raises
    ------
    RUnavailable, UnwritableFolder
        With the command that mends it.
    """
    versions.check({"r": planned.r, "home": "the R on the PATH", "packages": {}})
    if planned.without:
        raise RUnavailable(
            f"R's recommended packages must be there. {' and '.join(planned.without)} cannot be loaded. Install them: "
            f"{versions.install_r()}."
        )
    command = (planned.compiler.split() or [""])[0]
    if shutil.which(command) is None:
        raise RUnavailable(
            f"A C++ compiler must be there, to build R packages. R's, `{command}`, is not on the PATH. Install it: "
            f"{versions.install_compiler()}."
        )
    folder = planned.library
    try:
        if make:
            folder.mkdir(parents=True, exist_ok=True)
        said = "" if os.access(_nearest_folder(folder), os.W_OK) else "it is not"
    except OSError as error:
        said = str(error.strerror)
    if said:
        raise UnwritableFolder(
            f"The R library `{folder}` must be a folder that can be written: {said}. Name another: "
            "HTE_BRIDGE_R_LIBRARY=/path/to/folder."
        )


def _nearest_folder(path: Path) -> Path:
    return next(each for each in (path, *path.parents) if each.exists())


def install(planned: Plan, say: Callable[[str], None]) -> None:
    """Install what the plan names; a line for each package that is done, and one now and then.

    Raises
    ------
    RUnavailable
        If it fails; the whole output is in ``setup.log`` beside the packages.
    """
    log = planned.library / "setup.log"
    command = [*RSCRIPT, str(RESTORE), str(LOCK), str(planned.library), *planned.packages]
    environment = _environment(planned.mirror) | {
        "MAKEFLAGS": os.environ.get("MAKEFLAGS", f"-j{cores_to_use()}")
    }
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        lines = _follow(process, log, say)
    if process.returncode:
        told = "\n".join(f"    {line}" for line in lines[-LAST_LINES:])
        raise RUnavailable(
            f"Each R package must install. R ended with status {process.returncode}; the last lines of {log}:\n{told}\n"
            "Mend what they name. Another mirror: `hte-bridge setup --repos https://...`. What is done stays done."
        )


def _follow(process: subprocess.Popen[bytes], log: Path, say: Callable[[str], None]) -> list[str]:
    """The output's lines, written to the log; what is done is said, and that it goes on."""
    begun, done, lines = time.monotonic(), threading.Event(), []  # type: float, threading.Event, list[str]

    def go_on() -> None:
        while not done.wait(QUIET_SECONDS):
            say(f"  ... {time.monotonic() - begun:.0f} s")

    threading.Thread(target=go_on, daemon=True).start()
    assert process.stdout is not None
    with open(log, "w", encoding="utf-8") as file:
        for raw in process.stdout:
            text = ESCAPES.sub("", raw.decode(errors="replace"))
            line = text.rstrip().split("\r")[-1].strip()
            if line:
                lines.append(line)
                print(line, file=file, flush=True)
                if line.startswith(("✔", "- Installing")) and "[" in line:
                    say(f"  {re.sub(' +', ' ', line.lstrip('✔ '))}")
    done.set()
    return lines


def _environment(repos: str | None) -> dict[str, str]:
    """Ours; the mirror that was named comes before the user's settings."""
    named = {} if repos is None else {"RENV_CONFIG_REPOS_OVERRIDE": repos}
    return os.environ | {"R_PROFILE_USER": os.devnull} | named
