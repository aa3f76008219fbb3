#!/usr/bin/env bash
# Installs the R package of r/ into the project's R library and runs its tests.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v Rscript >/dev/null; then echo "testthat: skipped, R was not found"; exit 0; fi
[ -f r/DESCRIPTION ] || exit 0
export R_LIBS="$R_LIBRARY" HTE_BRIDGE_PYTHON="$PWD/.venv/bin/python"
mkdir -p .venv/logs
if ! R CMD INSTALL --no-test-load -l "$R_LIBRARY" r >.venv/logs/htebridge.log 2>&1; then
  tail -n 25 .venv/logs/htebridge.log
  exit 1
fi
cd r/tests/testthat
exec Rscript --vanilla -e 'testthat::test_dir(".", package = "htebridge", load_package = "installed", reporter = "summary", stop_on_failure = TRUE)'
