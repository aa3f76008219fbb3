"""R as a process of its own, for a Python without rpy2: the same calls, with the columns in files."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NoReturn

from hte_bridge.rlink import serial
from hte_bridge.rlink.transport import Column

HERE = Path(__file__).parent
# R reads its code from the command line, since standard input is where requests are announced
BEGIN = """
given <- commandArgs(TRUE)
rooms <- new.env(parent = globalenv())
for (file in sort(list.files(given[1L], "[.]R$", full.names = TRUE))) sys.source(file, envir = rooms)
rooms$answer_files(given[2L])
"""
OPTIONS = ("--no-save", "--no-restore", "--no-init-file")


class Apart:
    """An ``Rscript`` with the functions of this folder; it ends, and this process with it, in the same way.

    Raises
    ------
    EOFError
        If R ends before it has begun.
    """

    bridge = "Rscript"

    def __init__(self) -> None:
        home = os.environ.get("R_HOME")
        rscript = str(Path(home, "bin", "Rscript")) if home else shutil.which("Rscript") or "Rscript"
        heard, told = os.pipe()
        command = [rscript, *OPTIONS, "-e", BEGIN, str(HERE), f"/dev/fd/{told}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(told,))
        os.close(told)
        self.told = os.fdopen(heard, "rb")
        line = self.told.readline()
        if not line:
            raise EOFError(f"Rscript ended with status {self.process.wait()}")
        self.folder = Path(os.fsdecode(line.rstrip(b"\n")))

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[Column]]:
        """Answer of ``bridge_call``: value or error, and warnings.

        Raises
        ------
        NotTranslatable
            If the answer has no plain form.
        """
        with open(self.folder / "request", "wb") as file:
            serial.write(file, [name, arguments])
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._end_alike()
        if not self.told.readline():
            self._end_alike()
        columns: list[Column] = []
        return serial.read(self._answer(), columns), columns

    def _answer(self) -> memoryview[Any]:
        file = self.folder / "answer"
        with open(file, "rb") as opened:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        file.unlink()  # R must not write into what is mapped here: the next answer is another file
        return memoryview(content)

    def _end_alike(self) -> NoReturn:
        """End as R did, so that the parent sees R's own status or signal."""
        status = self.process.wait()
        if status < 0:
            if -status not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(-status, signal.SIG_DFL)  # as far as it can be caught
            os.kill(os.getpid(), -status)
        os._exit(status)
