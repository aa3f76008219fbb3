"""The process that holds R: started by the client, the only importer of rpy2. Without rpy2 it holds an ``Rscript`` (``apart``).

Run as ``python -m hte_bridge.rlink.worker DESCRIPTOR PARENT``. Messages come by the socket ``DESCRIPTOR``; R's own
output goes to stdout and stderr, which the client gave a file to, so that nothing R prints can break a message.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hte_bridge.rlink import transport, versions
from hte_bridge.rlink.apart import Apart
from hte_bridge.rlink.serial import NotTranslatable, vector_kind
from hte_bridge.rlink.transport import Column, Disconnected

HERE = Path(__file__).parent
# No R that starts here, those that rpy2 asks for paths included, reads a start-up file of the user's: it could wait, quit or
# name another. The environment file is read after the start, for the libraries that it names.
SILENT = {"R_ENVIRON_USER": os.devnull, "R_PROFILE_USER": os.devnull}
WATCH_SECONDS = 0.5


class CannotStart(Exception):
    """R cannot be started; the first argument says which part is at fault, the second what was said."""


def environment_file() -> str | None:
    """The user's ``.Renviron``: named by R_ENVIRON_USER, in the working directory, or at home."""
    named = os.environ.get("R_ENVIRON_USER")
    places = [Path(named)] if named else [Path(".Renviron"), Path("~/.Renviron")] if named is None else []
    return next((str(each.expanduser().resolve()) for each in places if each.expanduser().is_file()), None)


def check_home(given: str | None) -> None:
    """R is where ``R_HOME`` says, or on the PATH.

    Raises
    ------
    CannotStart
        If it is not.
    """
    if given and not Path(given, "bin", "R").exists():
        raise CannotStart("R_HOME", given)
    if not given and shutil.which("R") is None:
        raise CannotStart("R", "no `R` on the PATH, and R_HOME is not set")


class R:
    """R inside this process, with the functions of this folder.

    Raises
    ------
    CannotStart
        If R does not start.
    """

    bridge = "rpy2"

    def __init__(self) -> None:
        import rpy2.rinterface as rinterface
        from rpy2.rinterface_lib import callbacks, embedded

        self.ri = rinterface
        options: Any = ("rpy2", "--quiet", "--no-save", "--no-restore", "--no-init-file")
        embedded.set_initoptions(options)
        try:
            rinterface.initr(interactive=False)
        except (OSError, ValueError, RuntimeError, StopIteration, AssertionError) as error:
            # rpy2 asks an R of its own for the environment, by a temporary file: no room for it, or that R quits
            raise CannotStart("start", f"{type(error).__name__}: {error}".removesuffix(": ")) from error
        write = lambda text: print(text, end="", flush=True)  # to the log that the client keeps
        callbacks.consolewrite_print = callbacks.consolewrite_warnerror = write
        self.rooms = self._sourced()

    def _sourced(self) -> Any:
        """Environment with every function of the *.R files beside this one."""
        ri = self.ri
        rooms = ri.baseenv["new.env"](parent=ri.globalenv)
        for file in sorted(HERE.glob("*.R")):
            ri.baseenv["sys.source"](ri.StrSexpVector([str(file)]), envir=rooms)
        self.call_in_r = rooms["bridge_call"]
        return rooms

    def call(self, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[Column]]:
        """Answer of ``bridge_call``: value or error, and warnings."""
        ri, columns = self.ri, []  # type: Any, list[Column]
        answer = self.call_in_r(ri.StrSexpVector([name]), self._list(arguments))
        return self.from_r(answer, columns), columns

    def _list(self, values: dict[str, Any]) -> Any:
        translated = self.ri.ListSexpVector([self.to_r(value) for value in values.values()])
        if values:
            translated.names = self.ri.StrSexpVector(list(values))
        return translated

    def to_r(self, value: Any) -> Any:
        """A column, or what JSON can hold, as an R value."""
        ri = self.ri
        if value is None:
            return ri.NULL
        if isinstance(value, Column):
            return self._column_to_r(value)
        if isinstance(value, dict):
            return self._list(value)
        many = value if isinstance(value, list) else [value]
        kind = vector_kind(many)
        if kind == "l":
            return ri.ListSexpVector([self.to_r(each) for each in many])
        made = {"?": ri.BoolSexpVector, "s": ri.StrSexpVector, "i": ri.IntSexpVector, "d": ri.FloatSexpVector}
        return made[kind]([float(each) for each in many] if kind == "d" else many)

    def _column_to_r(self, column: Column) -> Any:
        ri = self.ri
        kinds = {"d": ri.FloatSexpVector, "i": ri.IntSexpVector, "?": ri.BoolSexpVector}
        vector = (
            kinds[column.kind].from_memoryview(column.values) if column.n_bytes else kinds[column.kind]([])
        )
        if len(column.shape) > 1:
            vector.do_slot_assign("dim", ri.IntSexpVector(list(column.shape)))
        return vector

    def from_r(self, value: Any, columns: list[Column]) -> Any:
        """An R value as JSON; vectors and matrices are appended to ``columns`` and leave their place."""
        ri = self.ri
        if value is ri.NULL or value.typeof == ri.RTYPES.NILSXP:
            return None
        if isinstance(value, ri.StrSexpVector):
            texts = [None if each is ri.NA_Character else str(each) for each in value]
            return texts[0] if len(texts) == 1 else texts
        if isinstance(value, ri.ListSexpVector):
            parts = [self.from_r(each, columns) for each in value]
            named = "names" in value.list_attrs()
            return dict(zip([str(name) for name in value.names], parts, strict=True)) if named else parts
        kind = {ri.FloatSexpVector: "d", ri.IntSexpVector: "i", ri.BoolSexpVector: "?"}.get(type(value))
        if kind is None:
            raise NotTranslatable(f"a value of R type {value.typeof.name}")
        dimensions = tuple(value.do_slot("dim")) if "dim" in value.list_attrs() else None
        if dimensions is None and len(value) == 1:
            return self._single(value[0], kind)
        view = value.memoryview() if len(value) else memoryview(b"")
        columns.append(Column(kind, dimensions or (len(value),), view))
        return {"$column": len(columns) - 1}

    def _single(self, value: Any, kind: str) -> Any:
        if value is self.ri.NA_Integer or value is self.ri.NA_Logical:
            return None
        return {"d": float, "i": int, "?": bool}[kind](value)


def start() -> R | Apart:
    """R, inside this process where rpy2 loads, else beside it: the same functions, and the same numbers.

    Raises
    ------
    CannotStart
        If R is missing or does not start.
    """
    check_home(os.environ.get("R_HOME"))
    environment = environment_file()
    os.environ |= SILENT
    r = R() if rpy2_loads() else beside()
    library = versions.library_path()
    r.call("libraries", {"first": None if library is None else str(library), "file": environment})
    return r


def rpy2_loads() -> bool:
    """Whether rpy2 is installed and finds its R; the log says what is wrong with one that is there."""
    if importlib.util.find_spec("rpy2") is None:
        return False
    try:
        import rpy2.rinterface  # noqa: F401
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        print(f"rpy2 does not load ({type(error).__name__}: {error}): R runs beside Python.", flush=True)
        return False
    return True


def beside() -> Apart:
    """R in a process of its own.

    Raises
    ------
    CannotStart
        If it does not start.
    """
    if not os.environ.get("R_HOME") and shutil.which("Rscript") is None:
        raise CannotStart("R", "no `Rscript` on the PATH, and rpy2 does not load")
    try:
        return Apart()
    except (OSError, EOFError) as error:
        raise CannotStart("start", f"{type(error).__name__}: {error}") from error


def filled(value: Any, columns: list[Column]) -> Any:
    """The JSON value with columns put back in their places."""
    if isinstance(value, dict):
        if "$column" in value:
            return columns[value["$column"]]
        return {name: filled(each, columns) for name, each in value.items()}
    return [filled(each, columns) for each in value] if isinstance(value, list) else value


def answer(
    r: R | Apart, request: dict[str, Any], columns: list[Column]
) -> tuple[dict[str, Any], list[Column]]:
    """Do what a request asks."""
    if request.get("drop"):
        r.call("drop_kept", {"handles": request["drop"]})
    try:
        return r.call(request["function"], filled(request["arguments"], columns))
    except NotTranslatable as error:
        said = f"`{request['function']}` must return numbers, text or lists of them; it returned {error}"
        return {"error": said, "call": "", "warnings": []}, []


def serve(channel: socket.socket, folders: list[str]) -> None:
    """Greet, then answer until the parent closes the socket; R's temporary folder is added to ``folders``."""
    try:
        r = start()
    except CannotStart as error:
        transport.send(channel, {"unavailable": error.args[0], "said": error.args[1]})
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends this process
    hello, columns = r.call("describe_r", {})
    hello["value"]["bridge"] = r.bridge
    folders.append(hello["value"]["temporary"])
    transport.send(channel, hello, columns)
    while True:
        request, columns = transport.receive(channel)
        transport.send(channel, {"began": True})
        reply, results = answer(r, request, columns)
        transport.send(channel, reply, results)
        del request, columns, reply, results


def end_with(parent: int, folders: list[str]) -> None:
    """End this process, what it started and its folders when the parent is gone, even in the midst of a forest."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main(descriptor: int, parent: int) -> None:
    """Serve the parent until it is gone."""
    os.set_inheritable(descriptor, False)
    folders: list[str] = []
    threading.Thread(target=end_with, args=(parent, folders), daemon=True).start()
    with socket.socket(fileno=descriptor) as channel:
        try:
            serve(channel, folders)
        except Disconnected:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
