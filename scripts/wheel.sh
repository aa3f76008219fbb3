#!/usr/bin/env bash
# wheel.sh [full]: builds wheel and source archive into dist/, checks them with twine, and tries the wheel in an environment of its
# own outside the checkout, with no R on the path and no rpy2. Its dependencies are links to those of .venv, which takes seconds;
# `full` has pip install them all, as a user's pip would.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
release="$PWD/.venv/release"

if ! "$release/bin/python" -c 'import build, twine, setuptools' 2>/dev/null; then
  .venv/bin/python -m venv "$release"
  "$release/bin/python" -m pip install --quiet --no-input build twine 'setuptools>=77'
fi
rm -rf dist build
"$release/bin/python" -m build --no-isolation --outdir dist . >"$work/build.log" 2>&1 || { tail -30 "$work/build.log"; exit 1; }
"$release/bin/python" -m twine check --strict dist/*

.venv/bin/python -m venv "$work/venv"
if [ "${1:-}" = full ]; then
  "$work/venv/bin/python" -m pip install --quiet --no-input dist/*.whl
else
  mkdir "$work/links"
  site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  for each in "$site"/*; do
    case "$(basename "$each")" in rpy2* | _rinterface* | hte_bridge* | __editable__* | *.pth | pip*) ;; *) ln -s "$each" "$work/links/" ;; esac
  done
  echo "$work/links" >"$("$work/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/links.pth"
  "$work/venv/bin/python" -m pip install --quiet --no-input --no-deps --no-index dist/*.whl
fi
cp scripts/wheel_try.py "$work/try.py"
cd "$work"
env -i PATH="$work/venv/bin" HOME="$work" LANG=C.UTF-8 OMP_NUM_THREADS=1 "$work/venv/bin/python" try.py
