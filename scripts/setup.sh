#!/usr/bin/env bash
# Makes .venv with every Python and R package of the lock files. Idempotent: a stamp under .venv keeps the key
# (hash of a lock, version of Python or R) of each step that ended well, so a second run installs nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
venv="$PWD/.venv" logs="$PWD/.venv/logs" stamps="$PWD/.venv/stamps"
mkdir -p "$logs" "$stamps"
if command -v flock >/dev/null; then exec 9>"$venv/setup.lock" && flock 9; fi

say() { printf 'setup: %s\n' "$*"; }
key() { cat "$@" 2>/dev/null | sha256sum | cut -c1-16; }
fresh() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; } # fresh STEP KEY
can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

step() { # step NAME WHAT COMMAND...: one line before, one after; the log's tail where it fails
  local name="$1" what="$2" begun=$SECONDS
  shift 2
  say "$what ..."
  if "$@" >"$logs/$name.log" 2>&1 </dev/null; then
    say "$what: done in $((SECONDS - begun)) s"
  else
    say "$what: FAILED after $((SECONDS - begun)) s. The end of .venv/logs/$name.log:"
    tr '\r' '\n' <"$logs/$name.log" | tail -n 25 | sed 's/^/    /'
    return 1
  fi
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  local get="apt-get -o DPkg::Lock::Timeout=300 -q -y"
  $get install --no-install-recommends "$@" 9>&- || { $get update 9>&- && $get install --no-install-recommends "$@" 9>&-; }
}

missing_packages() { # those of the Debian packages named that are not installed
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || echo "$package"
  done
}

# ---------------------------------------------------------------------------------------------- Python

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null; }

find_python() {
  local each
  for each in ${PYTHON:-} python3.11 python3 python3.12 python3.13 python3.14; do
    if command -v "$each" >/dev/null && usable "$each"; then command -v "$each" && return; fi
  done
  return 1
}

make_venv() {
  local python
  "$venv/bin/python" -c 'import pip' 2>/dev/null && fresh venv "$PWD" && return
  if "$venv/bin/python" -c 'import pip, hte_bridge' 2>/dev/null; then echo "$PWD" >"$stamps/venv" && return; fi
  if ! find_python >/dev/null && can_install; then
    step apt-python "Python from the system's packages" apt_install python3 python3-venv python3-dev
  fi
  if ! python=$(find_python); then
    say "Python 3.11 to 3.14 with venv must be there. None was found. Install it (Debian, Ubuntu: sudo apt-get install python3 python3-venv python3-dev), or name one: make PYTHON=/path/to/python3.12"
    return 1
  fi
  rm -rf "$venv/bin" "$venv/lib" "$venv/include" "${stamps:?}"/*
  step venv "virtual environment in .venv ($("$python" --version))" "$python" -m venv "$venv" && echo "$PWD" >"$stamps/venv"
}

pip_install() { "$venv/bin/python" -m pip install --no-input --require-hashes "$@"; }

python_packages() {
  local now
  now="$("$venv/bin/python" --version) $(key locks/requirements.lock)"
  fresh python "$now" && return
  step python "Python packages (locks/requirements.lock)" pip_install -r locks/requirements.lock && echo "$now" >"$stamps/python"
}

torch_package() { # the CPU build where the user's package indexes have it, else the plain one
  local now
  now="$("$venv/bin/python" --version) $(key locks/requirements-torch.lock locks/requirements-torch-cuda.lock)"
  fresh torch "$now" && return
  if ! "$venv/bin/python" -c 'import importlib.metadata as m, sys; sys.exit(m.version("torch").split("+")[0] != "2.13.0")' 2>/dev/null; then
    step torch "torch, CPU build (locks/requirements-torch.lock)" pip_install --no-deps -r locks/requirements-torch.lock || {
      say "The CPU build of torch is in none of your package indexes. The plain build follows; on Linux it brings gigabytes of CUDA."
      say "To have the small one instead, stop now, set PIP_EXTRA_INDEX_URL to the index of CPU builds that torch's own installation page names, and run make again."
      step torch "torch, plain build (locks/requirements-torch-cuda.lock)" pip_install -r locks/requirements-torch-cuda.lock || return 1
    }
  fi
  echo "$now" >"$stamps/torch"
}

project() {
  local now
  now="$PWD $(key pyproject.toml)"
  fresh project "$now" && return
  step project "hte_bridge itself" "$venv/bin/python" -m pip install --no-input --no-deps --no-build-isolation --no-index -e . && echo "$now" >"$stamps/project"
}

python_side() { python_packages && torch_package && project; }

# ---------------------------------------------------------------------------------------------- R

DEBIAN_R="r-base-core r-recommended r-base-dev libuv1-dev curl" # renv downloads with curl

system_r() {
  local wanted
  wanted=$(command -v dpkg-query >/dev/null && missing_packages $DEBIAN_R)
  # R from elsewhere (rig, conda, a build of one's own) is taken as it is
  if command -v Rscript >/dev/null && [ "$(command -v Rscript)" != /usr/bin/Rscript ]; then wanted=""; fi
  if ! command -v Rscript >/dev/null || [ -n "$wanted" ]; then
    if can_install; then step apt-r "R from the system's packages (about two minutes)" apt_install ${wanted:-$DEBIAN_R}; fi
  fi
  command -v Rscript >/dev/null && return
  say "R was not found, so grf cannot run; feols and deep do. To have it: sudo apt-get install $DEBIAN_R python3-dev (Debian, Ubuntu), then make setup."
  return 1
}

r_version() { Rscript --vanilla -e 'cat(as.character(getRversion()), R.home())' 2>/dev/null; }

local_cran() { # a CRAN beside the repository, for machines that reach none; the user's own setting wins
  local beside
  beside="$(cd .. && pwd)/shared/cran"
  if [ -z "${RENV_CONFIG_REPOS_OVERRIDE:-}" ] && [ -f "$beside/src/contrib/PACKAGES" ]; then
    export RENV_CONFIG_REPOS_OVERRIDE="file://$beside"
  fi
}

restore() { # restore LOCK
  export MAKEFLAGS="-j$(getconf _NPROCESSORS_ONLN)"
  pkg-config --exists libuv 2>/dev/null || export USE_BUNDLED_LIBUV=1
  Rscript --no-save --no-restore hte_bridge/rlink/setup/restore.R "$1" "$venv/r-library"
}

r_packages() { # r_packages LOCK
  local now name
  name=$(basename "$1" .lock) now="$(r_version) $(key "$1")"
  fresh "$name" "$now" && return
  local_cran
  if step "$name" "R packages ($1; grf compiles for some minutes)" restore "$1"; then
    echo "$now" >"$stamps/$name"
  else
    say "grf needs these; feols and deep do not. Mend what the log names (compilers: r-base-dev; a CRAN mirror: RENV_CONFIG_REPOS_OVERRIDE), then make setup."
    return 1
  fi
}

rpy2_packages() { # after R, so that its compiled mode is R's; newer ones call what R 4.5 brought
  local now lock=locks/requirements-r-new.lock
  case "$(r_version)" in 4.[0-4].*) lock=locks/requirements-r.lock ;; esac
  now="$("$venv/bin/python" --version) $(r_version) $(key $lock)"
  fresh rpy2 "$now" && return
  # no cache: a wheel built for another R must not come back
  step rpy2 "rpy2 ($lock)" pip_install --no-deps --no-cache-dir -r $lock && echo "$now" >"$stamps/rpy2"
}

r_side() {
  command -v Rscript >/dev/null && fresh renv "$(r_version) $(key renv.lock)" && return
  system_r && r_packages renv.lock
}

htebridge() { # the R package of r/, into the same library
  local now
  now="$(find r -type f -not -path '*/man/*' -print0 | sort -z | xargs -0 cat | sha256sum) $(r_version)"
  fresh htebridge "$now" && return
  R_LIBS="$venv/r-library" step htebridge "htebridge, the R package of r/" R CMD INSTALL --no-test-load -l "$venv/r-library" r &&
    echo "$now" >"$stamps/htebridge"
}

browser() { # the tests of the report open it in one
  local each
  for each in chromium chromium-browser google-chrome; do command -v "$each" >/dev/null && return; done
  can_install && step browser "Chromium for the tests of the report" apt_install chromium && return
  say "Chromium was not found, so the tests that open the report in a browser are skipped. To have it: sudo apt-get install chromium"
}

site() { # what builds the site, in an environment of its own: the package is read there and not imported
  local now
  now="$("$venv/bin/python" --version) $(key locks/requirements-docs.lock)"
  fresh site "$now" && return
  step site "mkdocs and its plugins (locks/requirements-docs.lock)" site_packages && echo "$now" >"$stamps/site"
}

site_packages() {
  "$venv/bin/python" -m venv "$venv/site" && "$venv/site/bin/python" -m pip install --no-input --require-hashes -r locks/requirements-docs.lock
}

# ---------------------------------------------------------------------------------------------- all

case "${1:-all}" in
  all)
    make_venv || exit 1
    python_side &
    python_job=$!
    r_side && r_there=1 || r_there=0
    wait "$python_job" || exit 1
    if command -v Rscript >/dev/null; then rpy2_packages || say "Without rpy2 R is reached through Rscript, with the same numbers."; fi
    if [ "$r_there" = 1 ] && [ -f r/DESCRIPTION ]; then htebridge || r_there=0; fi
    # where machines decide, half of the engines is a failure
    if [ "$r_there" = 0 ] && [ "${CI:-}" = true ]; then exit 1; fi
    ;;
  browser) browser ;;
  site) site || exit 1 ;;
  parity) r_packages locks/renv-parity.lock || exit 1 ;;
  *) say "unknown argument: $1" && exit 2 ;;
esac
exit 0
