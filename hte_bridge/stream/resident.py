"""Pages of arrays on disk that this process holds: let go where they are many, so that memory is that of the numbers in use."""

from __future__ import annotations

import mmap
import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ResidentRule:
    """How many pages of files a process holds."""

    # bytes beyond those of libraries, about
    most: int = 1 << 27
    # seconds between two looks
    apart: float = 0.1


RESIDENT = ResidentRule()
STATM = Path("/proc/self/statm")  # pages: whole, resident, of these those of files


@dataclass(eq=False)
class Resident:
    """The arrays on disk that are open in this process, and who looks after their pages.

    The system takes back pages that are not in use only where memory runs short; until then a pass over ten million rows leaves all of them with the
    process. What is let go stays in the system's cache, and is there again when it is asked for.
    """

    maps: tuple[weakref.ref[mmap.mmap], ...] = ()  # made anew by who adds: the thread reads it
    looking: threading.Thread | None = None

    def add(self, array: Any) -> None:
        """Look after the pages of an array that is open for reading, or for writing to its file."""
        mapped = getattr(array, "_mmap", None)
        if mapped is None or not hasattr(mmap, "MADV_DONTNEED") or not STATM.exists():
            return
        self.maps = (*(each for each in self.maps if each() is not None), weakref.ref(mapped))
        alive = self.looking is not None and self.looking.is_alive()  # it is not in a forked process
        if not alive and self.size() > RESIDENT.most:
            self.looking = threading.Thread(target=self.look, name="hte-bridge pages", daemon=True)
            self.looking.start()

    def size(self) -> int:
        """Bytes of all of them, in memory or not."""
        return sum(len(each) for each in self.open())

    def open(self) -> list[mmap.mmap]:
        """Those that are still open."""
        found = [each() for each in self.maps]
        return [each for each in found if each is not None and not each.closed]

    def look(self) -> None:
        """Let pages go whenever they are many, as long as large arrays are open."""
        pause, libraries = threading.Event(), 0
        while self.size() > RESIDENT.most:
            if pages_of_files() > libraries + RESIDENT.most:
                self.let_go()
                libraries = pages_of_files()
            pause.wait(RESIDENT.apart)

    def let_go(self) -> None:
        """All pages of the arrays: of a mapping that is shared with its file nothing is lost, written or not."""
        for each in self.open():
            each.madvise(mmap.MADV_DONTNEED)


OURS = Resident()


def pages_of_files() -> int:
    """Bytes of files that are in this process's memory."""
    return int(STATM.read_text(encoding="ascii").split()[2]) * os.sysconf("SC_PAGE_SIZE")
