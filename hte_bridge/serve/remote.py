"""R as the user's own session: calls of R functions travel back over the line that the request came by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hte_bridge.rlink import client, versions
from hte_bridge.rlink.transport import Column
from hte_bridge.serve.channel import Channel
from hte_bridge.serve.files import taken, write_arrow
from hte_bridge.serve.values import decode, encode

R_CODE = Path(client.__file__).parent  # R sources these files, so that both ways to R run the same code
NUMPY_TYPES = {"d": np.float64, "i": np.int32, "?": np.int32}


@dataclass(eq=False)
class UserSession:
    """What ``rlink.client`` takes for its worker: the R session that started this process."""

    channel: Channel
    folder: Path
    alive: bool = True
    drops: deque[str] = field(default_factory=deque)  # handles to forget with the next call
    number: int = 0

    @cached_property
    def hello(self) -> dict[str, Any]:
        """Version of R, its home, libraries, BLAS and packages."""
        reply, _ = self.request("describe_r", {}, [])
        versions.check(reply["value"])
        return dict(reply["value"])

    def describe(self) -> dict[str, Any]:
        """As ``Worker.describe``."""
        return dict(self.hello)

    def request(
        self, function: str, arguments: dict[str, Any], columns: list[Column]
    ) -> tuple[Any, list[Column]]:
        """Ask R and wait; an interrupt reaches the caller, R has then stopped too."""
        drop = [self.drops.popleft() for _ in range(len(self.drops))]
        packed = {name: self._pack(value, columns) for name, value in arguments.items()}
        self.channel.send({"call": function, "arguments": packed, "drop": drop})
        results: list[Column] = []
        reply = decode(self.channel.receive(), self.folder, lambda mark: self._unpack(mark, results))
        return reply, results

    def _pack(self, value: Any, columns: list[Column]) -> Any:
        if isinstance(value, dict) and "$column" in value:
            return self._write(columns[value["$column"]])
        return encode(value, self.folder)

    def _write(self, column: Column) -> dict[str, Any]:
        flat = np.frombuffer(column.buffer, dtype=NUMPY_TYPES[column.kind])
        unknown = flat == client.NA_INTEGER if column.kind != "d" else None
        kind = {"d": pa.float64(), "i": pa.int32(), "?": pa.int32()}[column.kind]
        values = pa.array(flat, type=kind, mask=unknown)
        path = write_arrow(
            pa.table({"v": values if column.kind != "?" else values.cast(pa.bool_())}), self.folder
        )
        return {"$column": path, "shape": list(column.shape)}

    def _unpack(self, mark: dict[str, Any], results: list[Column]) -> dict[str, int] | None:
        """Read a column that R wrote; its place among the results."""
        if "$column" not in mark:
            return None
        with taken(mark["$column"], self.folder) as file:
            values = pq.read_table(file).column(0)
        kind = {pa.float64(): "d", pa.int32(): "i", pa.bool_(): "?"}[values.type]
        if kind != "d":
            values = values.cast(pa.int32()).fill_null(client.NA_INTEGER)
        else:
            values = values.fill_null(np.nan)
        flat = np.ascontiguousarray(values.to_numpy(), dtype=NUMPY_TYPES[kind])
        results.append(
            Column(kind, tuple(mark["shape"]), memoryview(flat.data) if flat.size else memoryview(b""))
        )
        return {"$column": len(results) - 1}

    def end(self) -> None:
        """Nothing to end: the session is the user's."""

    def disown(self) -> None:
        """Nothing to leave."""


def answer_in_r(channel: Channel, folder: Path) -> None:
    """From here on every call of R goes to the session at the other end; no R is started by this process."""
    client._link.worker = UserSession(channel, folder)  # type: ignore[assignment]  # all that the client asks of it
