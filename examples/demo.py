"""The main job on real data: three engines, one table, with plots and a report in out/ (`make demo`)."""

from pathlib import Path

from hte_bridge.demo import run

if __name__ == "__main__":
    run(Path("out"))
