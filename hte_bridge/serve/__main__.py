"""Answer R until its line closes."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from hte_bridge import __version__
from hte_bridge.errors import HteBridgeError
from hte_bridge.serve.channel import (
    Channel,
    Hangup,
    Interrupts,
    Malformed,
    end_with_parent,
    line_of,
    take_standard_streams,
)
from hte_bridge.serve.words import for_r

PROTOCOL = 3


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
            channel.write(reply(channel, session, interrupts))
        except Hangup:
            return


def reply(channel: Channel, session: Any, interrupts: Interrupts) -> bytes:
    """The line that answers the next one: the fits of a whole session live here, so nothing that comes in may end it."""
    try:
        request = channel.receive()
    except Malformed as error:
        return line_of({"id": None, "error": {"kind": "BadRequest", "message": str(error)}})
    number = request.get("id")
    number = number if isinstance(number, int) else None
    try:
        with interrupts.allowed():
            return line_of({"id": number, "value": session.answer(request)})
    except KeyboardInterrupt:
        return line_of({"id": number, "interrupted": True})
    except Hangup:
        raise
    except (Exception, SystemExit) as error:  # the one place that may: see above
        return line_of({"id": number, "error": described(error)})


def described(error: BaseException) -> dict[str, str]:
    """Kind and sentence of an error; what is no sentence of ours with its trace."""
    if isinstance(error, HteBridgeError):
        return {"kind": error.kind, "message": for_r(str(error))}
    trace = "".join(traceback.format_exception(error, limit=-50))  # a recursion's would fill the line
    return {"kind": "PythonError", "message": f"{type(error).__name__}: {error}", "trace": trace}


if __name__ == "__main__":
    main()
