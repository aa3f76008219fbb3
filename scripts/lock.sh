#!/usr/bin/env bash
# Writes the lock files of Python anew from the ranges of pyproject.toml with uv (`pip install uv`, outside of .venv); every file of
# each version gets its hash, so they hold on any platform. One strategy, three moments:
#   locks/requirements-old.lock    the floors of pyproject, on the oldest Python (`make test-old`)
#   locks/requirements.lock        what `make setup` installs; versions stay until `lock.sh --upgrade`
#   locks/requirements-new.lock    the newest of everything (`make test-new`)
# torch and rpy2 have locks of their own: torch has two builds; rpy2 is built against an R, whose version pip cannot ask, so
# locks/requirements-r.lock is for R below 4.5 (rpy2-rinterface 3.6.6 and later call what 4.5 brought), locks/requirements-r-new.lock for newer ones.
# renv.lock is R's to write: install into .venv/r-library, then
# options(renv.lockfile.version = 1); renv::snapshot(library = ".venv/r-library", type = "all", repos = c(CRAN = "@CRAN@"));
# put "@CRAN@" back as the URL where renv wrote the mirror's, take htebridge out, and run scripts/pins.py, which wheels carry.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
lock() { uv pip compile --quiet --generate-hashes --no-header --no-annotate "$@"; }

python3 - "$work" <<'PY'
import sys
import tomllib
from pathlib import Path

work, project = Path(sys.argv[1]), tomllib.load(open("pyproject.toml", "rb"))["project"]
extras, apart = project["optional-dependencies"], ("torch", "rpy2", "hte-bridge")
write = lambda name, wanted: (work / name).write_text("\n".join(each for each in wanted if not each.startswith(apart)) + "\n")
core = project["dependencies"]
# what torch and rpy2 ask for themselves, and the build backend of hte_bridge
beside = ["filelock", "sympy", "networkx", "fsspec", "typing-extensions", "cffi", "tzlocal", "packaging", "setuptools>=77"]
write("core.in", core)
write("all.in", [*core, *extras["demo"], *extras["cluster"], *extras["excel"], *extras["dev"], *beside])
(work / "rpy2.in").write_text("\n".join(extras["r"]) + "\n")
(work / "rpy2-old.in").write_text("rpy2==3.6.4\nrpy2-rinterface==3.6.5\nrpy2-robjects==3.6.6\n")
PY
lock --universal --python-version 3.11 "$work/all.in" -o locks/requirements.lock "$@"
lock --universal --python-version 3.11 --upgrade "$work/all.in" -o locks/requirements-new.lock
uv pip compile --quiet --python-version 3.11 --resolution lowest-direct --no-deps --no-header --no-annotate "$work/core.in" -o "$work/floors.txt"
lock --python-version 3.11 --upgrade -c "$work/floors.txt" "$work/all.in" -o locks/requirements-old.lock
lock --universal --python-version 3.11 --no-deps "$work/rpy2-old.in" -o locks/requirements-r.lock
lock --universal --python-version 3.11 --no-deps --upgrade "$work/rpy2.in" -o locks/requirements-r-new.lock
echo "torch==2.13.0" | lock --universal --python-version 3.11 -c locks/requirements.lock - -o locks/requirements-torch-cuda.lock
python3 scripts/pins.py
echo "locks/requirements-torch.lock (the CPU build) is kept by hand: its index has no plain name."
