"""Members of one file under one checksum: stored as they are, so that nothing unpacks to more than the file holds."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hte_bridge.errors import UnreadableFile
from hte_bridge.files import plain
from hte_bridge.sealed import BROKEN, OPEN, seal, sealed, whole_file

FORMAT_VERSION = 2  # since 2 of several arms, several outcomes, or an adoption too
ENDING = ".hte"
PARTS = "parts/"
WHAT = "a comparison written by `table.save`"


@dataclass(frozen=True)
class Archive:
    """A file whose checksum held when it was opened.

    Parameters
    ----------
    path : Path
    about : mapping
        Its JSON.
    room : str
        What names of members and arrays begin with: of a part of a table of several comparisons.
    """

    path: Path
    about: Mapping[str, Any]
    room: str = ""

    def part(self, k: int) -> Archive:
        """The k-th comparison of a table of several."""
        return Archive(self.path, self.about["parts"][k], f"{self.room}{PARTS}{k}/")

    def member(self, name: str) -> bytes:
        """The bytes of a member."""
        with zipfile.ZipFile(self.path) as made:
            return made.read(self.room + name)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays by name, those of its parts not among them; none holds objects."""
        with zipfile.ZipFile(self.path) as made, made.open("arrays.npz") as file:
            held = np.load(file, allow_pickle=False)
            found = {name.removeprefix(self.room): name for name in held.files if name.startswith(self.room)}
            return {own: held[name] for own, name in found.items() if not own.startswith(PARTS)}


def write(
    path: Path, members: Mapping[str, Path], arrays: Mapping[str, Any], about: Mapping[str, Any]
) -> Path:
    """Files, arrays and JSON as one archive with a checksum; it takes its name when all is written."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    text = json.dumps({"version": FORMAT_VERSION, **about}, default=plain)
    with whole_file(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as made:
            for name, file in members.items():
                made.write(file, name)
            made.writestr("arrays.npz", buffer.getvalue())
            made.writestr("about.json", text)
            made.comment = OPEN
        seal(temporary)
    return path


def opened(path: Path) -> Archive:
    """The archive at a path.

    Raises
    ------
    UnreadableFile
        If it is missing, changed since it was written, of another kind, or of a newer version.
    """
    if not path.exists():
        raise UnreadableFile(f"The comparison's file must exist. There is no `{path}`. Check the path.")
    try:
        whole = sealed(path)
        with zipfile.ZipFile(path) as made:
            packed = [each.filename for each in made.infolist() if each.compress_type != zipfile.ZIP_STORED]
            about = json.loads(made.read("about.json"))
        version = int(about["version"])
    except UnreadableFile:
        raise
    except BROKEN as error:
        raise UnreadableFile(
            f"`{path.name}` must be {WHAT}. It is truncated or of another format. Save the comparison again."
        ) from error
    if not whole or packed:
        raise UnreadableFile(
            f"`{path.name}` must be {WHAT}, with its checksum. It has none: bytes were changed or lost since. Take it from a "
            "backup, or save the comparison again."
        )
    if version > FORMAT_VERSION:
        raise UnreadableFile(
            f"`{path.name}` must be of format {FORMAT_VERSION} or older. It is of format {version}, written by a newer "
            "hte_bridge. Upgrade hte_bridge to read it."
        )
    return Archive(path, about)
