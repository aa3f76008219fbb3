#!/usr/bin/env bash
# with_r.sh COMMAND...: runs it with the project's R library and Python, or says that there is no R.
set -euo pipefail
cd "$(dirname "$0")/.."
library="$PWD/.venv/r-library"
if ! command -v Rscript >/dev/null || [ ! -d "$library/htebridge" ]; then
  echo "R or its packages are missing, so this was skipped: $*"
  exit 0
fi
export R_LIBS="$library" HTE_BRIDGE_PYTHON="$PWD/.venv/bin/python"
exec "$@"
