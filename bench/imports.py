"""CPU seconds of `import hte_bridge` beside what it puts off: python bench/imports.py [RUNS].

Each run is a new process; the anchor, a Python that imports nothing, is measured in the same run and is included in
the other rows, as it is in what a user waits for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

RUNS = 7
STATEMENTS = {
    "nothing (anchor)": "pass",
    "import hte_bridge": "import hte_bridge",
    "hte_bridge.Study": "import hte_bridge; hte_bridge.Study",
    "hte_bridge.compare": "import hte_bridge; hte_bridge.compare",
    "hte_bridge.Deep (torch)": "import hte_bridge; hte_bridge.Deep",
}
MUST, AIM = 0.5, 0.25


def cpu_seconds(statement: str) -> float:
    """User and system time of one process that runs the statement."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


def main(runs: int = RUNS) -> int:
    """Print median and range of each statement; 1 if importing costs more than it may."""
    for statement in STATEMENTS.values():
        cpu_seconds(statement)  # bytecode and file cache
    seconds = {name: [] for name in STATEMENTS}  # type: dict[str, list[float]]
    for _ in range(runs):
        for name, statement in STATEMENTS.items():
            seconds[name].append(cpu_seconds(statement))
    print(f"CPU seconds, {runs} runs each")
    print(f"{'':26}{'median':>8}{'least':>8}{'most':>8}")
    for name, values in seconds.items():
        print(f"{name:26}{statistics.median(values):8.3f}{min(values):8.3f}{max(values):8.3f}")
    median = statistics.median(seconds["import hte_bridge"])
    print(
        f"import hte_bridge: must be under {MUST}, aim {AIM}: {'met' if median < AIM else 'must met' if median < MUST else 'FAILED'}"
    )
    return int(median >= MUST)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
