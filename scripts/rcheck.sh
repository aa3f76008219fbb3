#!/usr/bin/env bash
# R CMD build and check of r/, with what renv.lock gives; suggested packages that are not there are left out.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$PWD/r
cd "$work"
export _R_CHECK_FORCE_SUGGESTS_=false R_LIBS
R CMD build --no-build-vignettes "$source"
R CMD check --no-manual --ignore-vignettes htebridge_*.tar.gz
! grep -E "^Status: .*(ERROR|WARNING)" htebridge.Rcheck/00check.log
