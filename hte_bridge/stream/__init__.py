"""Studies of files larger than memory: one scan, columns on disk, sums by parts that any machine may make."""

from hte_bridge.stream.runner import Runner, Serial, tree_sum
from hte_bridge.stream.scan import scanned
from hte_bridge.stream.source import source_of
from hte_bridge.stream.store import Store
from hte_bridge.stream.study import Part, Rows, Stored, StudyBatch, mean_fill, parts_of, rows_of
from hte_bridge.stream.workers import Cluster, Left, Processes, employed

__all__ = [
    "Cluster",
    "Left",
    "Part",
    "Processes",
    "Rows",
    "Runner",
    "Serial",
    "Store",
    "Stored",
    "StudyBatch",
    "employed",
    "mean_fill",
    "parts_of",
    "rows_of",
    "scanned",
    "source_of",
    "tree_sum",
]
