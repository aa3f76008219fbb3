"""``table.save("t.hte")``: a comparison as one file that answers again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hte_bridge.between.compared import Kept
from hte_bridge.files import save_table
from hte_bridge.progress import steps
from hte_bridge.saved import archive
from hte_bridge.saved.fits import Packed, pack
from hte_bridge.saved.studies import kept_columns, study_parts, write_frame


def save(table: Kept, path: Path, columns: Sequence[str] | str | None = None, rankings: bool = True) -> Path:
    """Write a comparison; see ``Comparison.save``."""
    names = kept_columns(table.study, columns)
    arrays, about = study_parts(table.study, table.folds)
    with tempfile.TemporaryDirectory() as folder:
        packed = Packed(Path(folder), arrays)
        fits = {}
        for k, (name, fit) in enumerate(steps(list(table.fits.items()), f"saving {path.name}")):
            fits[name] = pack(fit, table.folds, f"fit{k}", packed, rankings)
        about |= {"fits": fits, "level": table.level, "columns": names}
        about |= write_frame(table.study, names, packed.room("frame", ".parquet"))
        save_table(table, packed.room("table", ".parquet"))
        for k, row in enumerate(table.rows):
            for what in ("influence", "share"):
                if getattr(row, what) is not None:
                    packed.arrays[f"rows/{k}/{what}"] = getattr(row, what)
        return archive.write(path, packed.files, packed.arrays, about)
