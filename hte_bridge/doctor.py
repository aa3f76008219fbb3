"""What is installed, what runs, and the command that mends what does not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from hte_bridge.errors import RUnavailable
from hte_bridge.rlink import client, versions

OLDEST_PYTHON = (3, 11)
SECONDS = 120
ASKED = {  # of a library that loads
    "torch": "; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no CUDA device, the CPU does it')"
}
MEND = {"pyfixest": "pip install 'pyfixest>=0.60'", "torch": "pip install 'torch>=2.6'"}
ASK_R = """
first <- Sys.getenv("HTE_BRIDGE_FIRST")
if (nzchar(first)) .libPaths(c(first, .libPaths()))
why <- tryCatch({ loadNamespace("grf"); "" }, error = function(e) conditionMessage(e))
grf <- if (why == "") as.character(packageVersion("grf")) else ""
writeLines(c(as.character(getRversion()), R.home(), extSoftVersion()[["BLAS"]], grf, gsub("\\n", " ", why)))
"""


@dataclass(frozen=True)
class Part:
    """One line of the report.

    Parameters
    ----------
    name : str
    found : bool
        It is there and runs.
    version, detail : str
    mend : str
        A command for the shell, where it is not found and something needs it.
    """

    name: str
    found: bool
    version: str = ""
    detail: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Report:
    """All parts, and which engines run with them."""

    parts: tuple[Part, ...]
    engines: Mapping[str, bool]

    @property
    def healthy(self) -> bool:
        """Whether all three engines run."""
        return all(self.engines.values())

    def to_json(self) -> str:
        """For machines: ``parts``, ``engines``, ``healthy``."""
        parts = [asdict(part) for part in self.parts]
        return json.dumps({"parts": parts, "engines": dict(self.engines), "healthy": self.healthy}, indent=2)

    def to_text(self) -> str:
        """One screen: a line a part, the mending command below a part that is missing."""
        width = max(len(part.name) for part in self.parts)
        lines = []
        for part in self.parts:
            state = "ok     " if part.found else "MISSING" if part.mend else "absent "
            lines.append(f"{state}  {part.name:<{width}}  {part.version:<12}  {part.detail}".rstrip())
            if part.mend:
                lines.append(f"         {'':<{width}}  mend: {part.mend}")
        engines = ", ".join(
            f"{name} {'runs' if runs else 'does not run'}" for name, runs in self.engines.items()
        )
        return "\n".join([*lines, "", f"engines: {engines}"])


def examine() -> Report:
    """Look at every part; what can break when it starts is started, in a process of its own.

    Returns
    -------
    Report
        Takes some seconds, in which torch, pyfixest and R are loaded beside each other.
    """
    with ThreadPoolExecutor() as pool:
        torch, pyfixest = pool.submit(library, "torch"), pool.submit(library, "pyfixest")
        r, bridge = pool.submit(ask_r), pool.submit(reach)
        there, reached = r.result(), bridge.result()
        found = {
            "python": python(),
            "pyfixest": pyfixest.result(),
            "torch": torch.result(),
            "rpy2": rpy2(reached),
            "R": r_part(there),
            "grf": grf_part(there),
        }
    engines = {
        "feols": found["pyfixest"].found,
        "grf": all(found[name].found for name in ("R", "grf")) and not isinstance(reached, str),
        "deep": found["torch"].found,
    }
    return Report((*found.values(), blas(there), threads(), memory()), engines)


def python() -> Part:
    """The running interpreter."""
    found = sys.version_info[:2] >= OLDEST_PYTHON
    mend = "" if found else "install Python 3.11 or newer, and hte_bridge into it"
    return Part("Python", found, platform.python_version(), sys.prefix, mend)


def library(name: str) -> Part:
    """A Python library, imported in a process of its own: one that is there may still not load."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Part(name, False, mend=MEND[name])
    said = _run([sys.executable, "-c", f"import {name}{ASKED.get(name, '')}"])
    if said.returncode:
        return Part(name, False, version, _last_line(said.stderr), MEND[name])
    return Part(name, True, version, said.stdout.strip())


@dataclass(frozen=True)
class FoundR:
    """What R says of itself; empty where it has no answer, ``error`` then says why."""

    version: str = ""
    home: str = ""
    blas: str = ""
    grf: str = ""
    error: str = ""


def ask_r() -> FoundR:
    """Ask ``Rscript`` for its version, home, BLAS and grf."""
    if shutil.which("Rscript") is None:
        return FoundR(error="no Rscript on the PATH")
    environment = os.environ | {"HTE_BRIDGE_FIRST": str(versions.library_path() or "")}
    said = _run(["Rscript", "--no-save", "--no-restore", "--no-init-file", "-e", ASK_R], environment)
    if said.returncode:
        return FoundR(error=_last_line(said.stderr) or f"Rscript ended with status {said.returncode}")
    return FoundR(*(line.strip() for line in said.stdout.split("\n")[:5]))


def r_part(there: FoundR) -> Part:
    """R itself."""
    if there.version:
        return Part("R", True, there.version, there.home)
    return Part("R", False, detail=there.error, mend=_command(versions.install_r()))


def grf_part(there: FoundR) -> Part:
    """The R package grf."""
    if there.grf:
        return Part("grf", True, there.grf, versions.unlike_pinned("grf", there.grf))
    detail = there.error if there.version else "needs R"
    return Part("grf", False, detail=detail, mend=_command(versions.install_package("grf")))


def reach() -> Mapping[str, Any] | str:
    """What R says to the engine, by the worker that it would use; a sentence where it cannot be reached."""
    try:
        return client.worker().describe()
    except RUnavailable as error:
        return str(error)


def rpy2(reached: Mapping[str, Any] | str) -> Part:
    """rpy2: R inside the worker. Where it is not there, or does not load, R runs beside it."""
    try:
        version = importlib.metadata.version("rpy2")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if isinstance(reached, str):
        return Part("rpy2", False, version, "needs R" if shutil.which("R") is None else reached)
    if reached["bridge"] == "rpy2":
        mode = "API" if importlib.util.find_spec("_rinterface_cffi_api") else "ABI"
        return Part("rpy2", True, version, f"{os.environ.get('RPY2_CFFI_MODE', mode)} mode")
    beside = "R is reached by Rscript, with the same numbers"
    if version:
        return Part("rpy2", False, version, f"does not load; {beside}", versions.reinstall_rpy2(reached["r"]))
    return Part("rpy2", False, "", f"not installed; {beside}")


def blas(there: FoundR) -> Part:
    """The linear algebra that numpy and R use."""
    import numpy
    from threadpoolctl import threadpool_info

    names = [f"{each['internal_api']} {each.get('version') or ''}".strip() for each in threadpool_info()]
    numpys = ", ".join(dict.fromkeys(names)) or str(
        numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    )
    return Part("BLAS", True, "", f"numpy: {numpys}" + (f"; R: {there.blas}" if there.blas else ""))


def threads() -> Part:
    """Processors this process may use, and settings that limit them."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    limits = ", ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)
    return Part("threads", True, str(usable), limits)


def memory() -> Part:
    """Memory of the machine."""
    import psutil

    state = psutil.virtual_memory()
    return Part("memory", True, f"{state.total / 2**30:.1f} GiB", f"{state.available / 2**30:.1f} GiB free")


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {SECONDS} s")


def _command(advice: str) -> str:
    """A command out of its backticks."""
    return advice.strip("`")


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else ""
