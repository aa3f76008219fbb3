#!/usr/bin/env bash
# Writes the lock files of Python anew from pyproject.toml with uv (`pip install uv`, outside of .venv); every file of
# each version gets its hash, so they hold on any platform. torch and rpy2 have locks of their own: torch has two
# builds, rpy2 is installed after R. renv.lock is R's to write: install into .venv/r-library, then
# options(renv.lockfile.version = 1); renv::snapshot(library = ".venv/r-library", type = "all", repos = c(CRAN = "@CRAN@"));
# put "@CRAN@" back as the URL where renv wrote the mirror's, and take htebridge out.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
compile() { uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }

python3 - >"$work/all.in" <<'PY'
import tomllib

project = tomllib.load(open("pyproject.toml", "rb"))["project"]
wanted = project["dependencies"] + sum((project["optional-dependencies"][extra] for extra in ("demo", "cluster", "dev")), [])
print(*(each for each in wanted if not each.startswith(("torch", "rpy2", "hte-bridge"))), sep="\n")
# what torch and rpy2 ask for themselves, and the build backend of hte_bridge
print("filelock", "sympy", "networkx", "fsspec", "typing-extensions", "cffi", "tzlocal", "packaging", "setuptools>=77", sep="\n")
PY
compile "$work/all.in" -o requirements.lock
python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' |
  compile - -o requirements-docs.lock
grep '^  "rpy2' pyproject.toml | tr -d '", ' | compile --no-deps - -o requirements-r.lock
echo "torch==2.13.0" | compile -c requirements.lock - -o requirements-torch-cuda.lock
echo "requirements-torch.lock (the CPU build) is kept by hand: its index has no plain name."
