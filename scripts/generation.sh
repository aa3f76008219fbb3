#!/usr/bin/env bash
# generation.sh old | new | debian13 [PYTEST ARGUMENT ...]
#   old       the floors of pyproject (locks/requirements-old.lock) with this machine's R, in .venv/old
#   new       the newest of everything (locks/requirements-new.lock) with this machine's Python and R, in .venv/new
#   debian13  `new` inside a Debian 13 (Python 3.13, R 4.5) that debootstrap makes in a folder; needs root
# Each runs the suite; without arguments all of it. torch comes from an index of CPU builds where pip knows one; else, for `new` on
# Debian, from Debian's own package (2.6, our floor).
set -euo pipefail
cd "$(dirname "$0")/.."
which="${1:?old, new or debian13}"
shift

pip_install() { "$venv/bin/python" -m pip install --quiet --no-input --require-hashes "$@"; }

torch_package() {
  "$venv/bin/python" -c 'import torch' 2>/dev/null && return
  pip_install --no-deps -r locks/requirements-torch.lock 2>/dev/null && return
  local there=/usr/lib/python3/dist-packages
  if [ -d "$there/torch" ]; then
    mkdir -p "$venv/torch" && ln -sfn "$there"/torch* "$there"/functorch "$venv/torch/"
    echo "$venv/torch" >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torch.pth"
    return
  fi
  [ "$(uname)" = Darwin ] && "$venv/bin/python" -m pip install --quiet torch && return
  echo "No CPU build of torch was found: set PIP_EXTRA_INDEX_URL to the index that torch's own page names." && return 1
}

rpy2_lock() { # pip cannot ask for R's version
  case "$(Rscript --vanilla -e 'cat(as.character(getRversion()))')" in 4.[0-4].*) echo locks/requirements-r.lock ;; *) echo locks/requirements-r-new.lock ;; esac
}

suite() { # suite NAME [PYTEST ARGUMENT ...]
  local name="$1"
  shift
  venv="$PWD/.venv/$name"
  [ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
  pip_install -r "locks/requirements-$name.lock"
  torch_package
  if command -v Rscript >/dev/null; then
    pip_install --no-deps --no-cache-dir -r "$(rpy2_lock)" || echo "rpy2 could not be built: R is reached through Rscript"
    # a library that an interruption left half made is completed, a whole one stays as it is
    MAKEFLAGS="-j$(getconf _NPROCESSORS_ONLN)" Rscript --no-save --no-restore hte_bridge/rlink/setup/restore.R renv.lock .venv/r-library
    ln -sfn ../r-library "$venv/r-library"
  fi
  # what old libraries say of each other is not ours to mend; our own warnings stay errors
  PYTHONPATH="$PWD" OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 \
    "$venv/bin/python" -m pytest -q -n 2 --dist loadfile -W ignore::DeprecationWarning "$@"
}

in_debian13() {
  local root="${HTE_BRIDGE_DEBIAN13:-/var/tmp/hte-bridge-debian13}"
  [ "$(id -u)" = 0 ] || { echo "debootstrap needs root: sudo make test-new" && return 1; }
  command -v debootstrap >/dev/null || apt-get install -q -y --no-install-recommends debootstrap
  if [ ! -e "$root/made" ]; then
    debootstrap --variant=minbase trixie "$root" && touch "$root/made"
  fi
  mkdir -p "$root/work" "$root/etc/ssl/certs"
  cp -L /etc/resolv.conf "$root/etc/"
  # the tree as it is now: what an earlier one had and this one has not goes, what was built stays
  find "$root/work" -mindepth 1 -maxdepth 1 ! -name .venv ! -name shared -exec rm -rf {} +
  git ls-files -z | xargs -0 tar c | tar x -C "$root/work"
  # a mount space of its own: what is mounted here is gone with it
  unshare --mount bash -c '
    set -e
    for each in proc sys dev; do mount --rbind --make-private "/$each" "$0/$each"; done
    case "${RENV_CONFIG_REPOS_OVERRIDE:-}" in # a CRAN in a folder of this machine
      file://*) cran="${RENV_CONFIG_REPOS_OVERRIDE#file://}" && mkdir -p "$0$cran" && mount --bind "$cran" "$0$cran" ;;
    esac
    inside() { chroot "$0" env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive RENV_CONFIG_REPOS_OVERRIDE="${RENV_CONFIG_REPOS_OVERRIDE:-}" \
      ${PIP_CERT:+PIP_CERT="$PIP_CERT"} ${PIP_EXTRA_INDEX_URL:+PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL"} \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
    inside apt-get -q update
    inside apt-get -q -y install --no-install-recommends python3 python3-venv python3-dev python3-torch git make ca-certificates \
      r-base-core r-recommended r-base-dev libuv1-dev curl
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt "$0/etc/ssl/certs/"; fi
    cd / && inside bash /work/scripts/generation.sh new "$@"' "$root" "$@"
}

case "$which" in
  old | new) suite "$which" "$@" ;;
  debian13) in_debian13 "$@" ;;
  *) echo "unknown generation: $which" && exit 2 ;;
esac
