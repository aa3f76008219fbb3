"""Answer R until its line closes."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from hte_bridge import __version__
from hte_bridge.errors import HteBridgeError
from hte_bridge.serve.channel import Hangup, Interrupts, end_with_parent, take_standard_streams

PROTOCOL = 1
# what numpy, pandas and torch raise of bad values; anything else is a fault that ends the process, and R says so
FORWARDED = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


def main() -> None:
    """Greet, then answer requests one by one; SIGINT ends the request at hand and not the process."""
    channel, interrupts = take_standard_streams(), Interrupts()
    end_with_parent()
    from hte_bridge.serve import remote
    from hte_bridge.serve.session import Session

    session = Session(Path(sys.argv[1]))
    remote.answer_in_r(channel, session.folder)
    greeting = {
        "protocol": PROTOCOL,
        "version": __version__,
        "python": sys.version.split()[0],
        "prefix": sys.prefix,
    }
    channel.send({**greeting, "r_code": str(remote.R_CODE)})
    while True:
        try:
            request = channel.receive()
            channel.send({"id": request["id"], **answer(session, request, interrupts)})
        except Hangup:
            return


def answer(session: Any, request: dict[str, Any], interrupts: Interrupts) -> dict[str, Any]:
    """Value, error or interruption of one request."""
    try:
        with interrupts.allowed():
            return {"value": session.answer(request)}
    except KeyboardInterrupt:
        return {"interrupted": True}
    except HteBridgeError as error:
        return {"error": {"kind": error.kind, "message": str(error)}}
    except FORWARDED as error:
        trace = "".join(traceback.format_exception(error))
        return {
            "error": {"kind": "PythonError", "message": f"{type(error).__name__}: {error}", "trace": trace}
        }


if __name__ == "__main__":
    main()
