# Two commands do everything on a machine that has nothing yet: `make demo` and `make test`.
# Both set up first; a second run finds its stamps under .venv and installs nothing.

SHELL := /bin/bash
BIN := .venv/bin
# Tests run in two processes, so each library gets one thread.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
CODE := hte_bridge tests bench examples website

.DEFAULT_GOAL := help
.PHONY: help setup demo test site site-test pages lint format pytest testthat rcheck parity doctor bench-import lock wheel test-old test-new clean

help:
	@echo "make demo     the main job on two real data sets; writes tables, plots and a report each to out/"
	@echo "make test     formatter, linter, type checker, pytest, testthat"
	@echo "make site     the site, into build/site, without network; make site-test opens it in a browser"
	@echo "make pages    runs the code of the site's pages again and writes what it prints into them"
	@echo "make rcheck   R CMD check of the R package"
	@echo "make parity   fixest beside grf in the project's R library, for the benches of parity"
	@echo "make wheel    wheel and source archive in dist/, tried where there is no R"
	@echo "make test-old the suite at the floors of pyproject; make test-new: with the newest, in a Debian 13"
	@echo "make doctor   what is installed, and how to mend what is not"

setup:
	@bash scripts/setup.sh

demo: setup
	@$(BIN)/python examples/demo.py
	@bash scripts/with_r.sh Rscript --no-save examples/compare.R out/thornton_hiv/from_r.csv

test: setup
	@bash scripts/setup.sh browser
	@$(MAKE) --no-print-directory lint pytest testthat

site: setup
	@bash scripts/setup.sh site
	@NO_MKDOCS_2_WARNING=1 .venv/site/bin/python -m mkdocs build --strict --quiet
	@echo "the site is in build/site; open build/site/index.html"

site-test: site
	@bash scripts/setup.sh browser
	@$(ONE_THREAD) SITE_TEST=all $(BIN)/python -m pytest -q tests/test_site.py tests/test_site_pages.py tests/test_site_built.py

pages: setup
	@$(ONE_THREAD) $(BIN)/python -m website.pages

lint: setup
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

pytest: setup
	@$(ONE_THREAD) $(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15

testthat: setup
	@$(ONE_THREAD) bash scripts/with_r.sh Rscript --no-save scripts/testthat.R

rcheck: setup
	@bash scripts/with_r.sh bash scripts/rcheck.sh

parity: setup
	@bash scripts/setup.sh parity

doctor: setup
	@$(BIN)/hte-bridge doctor

bench-import: setup
	@$(BIN)/python bench/imports.py

wheel: setup
	@bash scripts/wheel.sh

test-old:
	@bash scripts/generation.sh old

test-new:
	@bash scripts/generation.sh debian13

lock:
	@bash scripts/lock.sh

clean:
	rm -rf .venv out build dist .mypy_cache .ruff_cache .pytest_cache
