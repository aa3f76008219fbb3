"""Options of the deep engine, and what each may be."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

from hte_bridge.errors import InvalidOption
from hte_bridge.options import between, whole

Device = Literal["auto", "cpu", "cuda", "mps"]
LEAST = {  # of options that are whole numbers
    "seed": 0,
    "n_folds": 2,
    "kernel_max_rows": 0,
    "scale_rows": 50,
    "draws": 1,
    "n_nets": 1,
    "epochs": 1,
}


@dataclass(frozen=True)
class Options:
    """What ``Deep`` may be told; said there one by one."""

    seed: int = 0
    n_folds: int = 5
    label: str | None = None
    device: Device = "auto"
    kernel_max_rows: int = 3_000
    scale_rows: int = 700
    draws: int = 16
    effect_rate: float = 10.0
    n_nets: int = 1
    epochs: int = 60
    hidden: tuple[int, ...] = (64, 64)
    n_jobs: int | None = None
    checkpoint: str | Path | None = None
    memory_gb: float | None = None

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu", "cuda", "mps"):
            raise InvalidOption(f"`device` must be auto, cpu, cuda or mps. {self.device!r} was given.")
        for name, least in LEAST.items():
            whole(name, getattr(self, name), least)
        if self.memory_gb is not None:
            between("memory_gb", self.memory_gb, 0, inf, "a number of GB above 0", (False, False))
        between("effect_rate", self.effect_rate, 0, inf, "above 0 and finite", (False, False))
        if isinstance(self.hidden, str | int) or not self.hidden:
            raise InvalidOption(
                f"`hidden` must be the widths of the networks' layers, such as (64, 64). {self.hidden!r} was given."
            )
        for width in self.hidden:
            whole("hidden", width)
        if self.n_jobs == 0 or not isinstance(self.n_jobs, int | None):
            raise InvalidOption(
                f"`n_jobs` must be a number of folds to fit side by side, or -1 for all cores. {self.n_jobs!r} was given."
            )
        if not isinstance(self.checkpoint, str | Path | None):
            raise InvalidOption(f"`checkpoint` must be the path of a folder. {self.checkpoint!r} was given.")

    @property
    def name(self) -> str:
        """Name in the table's column ``engine``."""
        return self.label or "deep"
