"""The table: rows, and what a reader needs to rebuild them, as text, a frame or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hte_bridge.estimate import COLUMNS, Ends, Estimate, check_level, frame_of, interval

if TYPE_CHECKING:
    from hte_bridge.format.models import Model

__all__ = ["COLUMNS", "Ends", "Estimate", "Table", "check_level", "frame_of", "interval"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows, and what a reader needs to rebuild them.

    Parameters
    ----------
    rows : tuple of Estimate
    meta : mapping
        Plain values: ``n``, ``n_clusters``, ``treated_share``, ``propensity``, ``folds``, ``seed``,
        ``versions``, ``warnings``, ``names``; ``form`` is ``"rows"`` where each row is printed with its interval and p-value.

    Examples
    --------
    >>> from hte_bridge import Estimate, Table
    >>> table = Table((Estimate("ate", 2.0, 0.5, engine="grf"),), {"n": 100})
    >>> table.to_frame()[["engine", "estimand", "estimate"]].values.tolist()
    [['grf', 'ate', 2.0]]
    """

    rows: tuple[Estimate, ...]
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row per estimate, columns as in ``COLUMNS``."""
        return frame_of(self.rows)

    def at_level(self, level: float) -> Table:
        """The same rows with intervals of another coverage: bands and bootstraps made anew, not only t intervals.

        Raises
        ------
        InvalidOption
            If a row holds a band or a bootstrap that cannot be made anew, as read from a file.
        """
        return Table(tuple(row.at_level(level) for row in self.rows), self.meta)

    def where(self, **values: str) -> Table:
        """Rows whose columns have these values, such as ``engine="grf"``."""
        kept = tuple(
            row for row in self.rows if all(getattr(row, key) == value for key, value in values.items())
        )
        return Table(kept, self.meta)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_text(self, *, long: bool | None = None, stars: bool = False, width: int | None = None) -> str:
        """The printed table: engines as columns where several answer one question, an estimate over its standard error.

        Parameters
        ----------
        long : bool, optional
            ``True``: a row for each estimate, with its interval and p-value; ``False``: a column for each engine. By
            default the table decides.
        stars : bool, default False
        width : int, optional
            Characters of a line; by default the terminal's, or 100. Labels wrap, engines that do not fit go below one another.
        """
        from hte_bridge.format import to_text

        return to_text(self, long=long, stars=stars, width=width)

    def to_html(self, long: bool | None = None) -> str:
        """The printed table and its notes as an HTML fragment; see ``to_text``."""
        from hte_bridge.format import to_html

        return to_html(self, long=long)

    def to_markdown(self, long: bool | None = None) -> str:
        """The printed table and its notes as markdown; see ``to_text``."""
        from hte_bridge.format import to_markdown

        return to_markdown(self, long=long)

    def to_latex(self, stars: bool = False, long: bool | None = None) -> str:
        """A booktabs table with notes, over pages where it is longer than one; stars are off unless asked for.

        Plain LaTeX compiles it: its first line names the packages (booktabs, and longtable for a long one).
        """
        from hte_bridge.format import to_latex

        return to_latex(self, stars=stars, long=long)

    def models(self, stand_in: str = "ate") -> list[Model]:
        """One model per engine for ``maketables.ETable``, beside pyfixest's.

        Parameters
        ----------
        stand_in : str, default "ate"
            Estimand printed in the line of the treatment's own coefficient; "" for none.
        """
        from hte_bridge.format.models import models

        return models(self, stand_in)

    def tidy(self, engine: str | None = None) -> pd.DataFrame:
        """Rows of all engines, or of one, as a frame; broom's verb."""
        return self.to_frame() if engine is None else self.where(engine=engine).to_frame()

    def glance(self) -> pd.DataFrame:
        """One line per engine: sizes, folds, seed, propensity, seconds; broom's verb."""
        from hte_bridge.format.models import glance

        return glance(self.rows, self.meta)

    def save(self, path: str | Path) -> Path:
        """Write rows and meta to a Parquet file, or rows to CSV or Excel by its ending; nothing half-written stays.

        CSV loads again, without meta; ``.xlsx`` needs openpyxl and has the notes on a second sheet. In both a text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@`` or a tab)
        has an apostrophe before it; ``format.neutral.from_spreadsheet`` takes it away. Parquet holds texts as they are.

        Raises
        ------
        InvalidOption
            If the ending promises a format that is not written here, such as ``.tex``.
        PackageUnavailable
            If an Excel file is asked for and openpyxl is not installed.
        UnwritableFolder
            If the folder is not there or cannot be written.
        """
        from hte_bridge.files import save_table

        return save_table(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Table:
        """Read what ``save`` wrote, as Parquet or CSV.

        Raises
        ------
        UnreadableFile
            If the file is missing, truncated, not one of ours, or of a newer version.
        """
        from hte_bridge.files import load_table

        return Table(*load_table(Path(path)))
