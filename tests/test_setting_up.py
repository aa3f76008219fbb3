"""`hte-bridge setup`: what it would install, where, and what it says where it cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hte_bridge import cli, setting_up
from hte_bridge.rlink import versions
from hte_bridge.setting_up import Plan

ROOT = Path(__file__).parent.parent
MIRROR = "https://cran.example.org"
# An R that says what it is asked for, installs by making folders, and prints as renv does.
RSCRIPT = """#!{python}
import os, sys
if "-e" in sys.argv:
    packages = sys.argv[sys.argv.index("-e") + 3 :]
    loads = {loads}
    print("4.2.2", os.environ.get("RENV_CONFIG_REPOS_OVERRIDE", "{mirror}"), "{compiler}", sep="\\n")
    print(*(loads.get(name, "") for name in packages), sep="\\n")
else:
    library, packages = sys.argv[6], sys.argv[7:]
    print("\\x1b[?25l (0/2) Installing: zoo\\r")
    for name in packages:
        print(f"\\u2714 {{name}} 1.0     [built from source in 2s]", flush=True)
    print(os.environ["RENV_CONFIG_REPOS_OVERRIDE"], "cannot be reached")
    sys.exit({status})
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with such an R, and a library that is not there yet."""

    def make(loads=None, compiler="sh", status=0):
        file = tmp_path / "bin" / "Rscript"
        file.parent.mkdir(exist_ok=True)
        loads = {"Matrix": "1.5", "lattice": "0.20"} if loads is None else loads
        code = RSCRIPT.format(
            python=sys.executable, loads=loads, mirror=MIRROR, compiler=compiler, status=status
        )
        file.write_text(code)
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{file.parent}{os.pathsep}/usr/bin{os.pathsep}/bin")
        monkeypatch.setenv("HTE_BRIDGE_R_LIBRARY", str(tmp_path / "library"))
        monkeypatch.delenv("RENV_CONFIG_REPOS_OVERRIDE", raising=False)
        return tmp_path / "library"

    return make


@pytest.fixture
def command(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hte-bridge", "setup", *arguments])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code or 0
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_a_dry_run_names_versions_mirror_place_size_and_time_and_does_nothing(machine, command):
    library = machine()
    status, said = command("--dry-run")
    assert status == 0
    for part in ("R 4.2.2", "grf 2.6.1", "Rcpp 1.1.2", MIRROR, str(library), "MB to download", "minutes"):
        assert part in said
    assert not library.exists()


def test_what_is_done_is_said_package_by_package_and_kept_in_a_log(machine, command):
    library = machine()
    status, said = command("--repos", "https://mirror.example.org")
    assert status == 0
    assert "grf 1.0 [built from source in 2s]" in said
    assert "from https://mirror.example.org" in said
    assert "\x1b" not in said
    assert "grf" in (library / "setup.log").read_text()


def test_where_all_loads_nothing_is_done(machine, command):
    library = machine({"grf": "2.6.1", "Matrix": "1.5", "lattice": "0.20"})
    assert command() == (0, "R 4.2.2: grf loads; nothing to do.\n")
    assert not library.exists()


def test_a_grf_that_is_too_old_for_us_is_brought(machine):
    machine({"grf": "2.2.1", "Rcpp": "1.1.2", "Matrix": "1.5", "lattice": "0.20"})
    assert setting_up.plan(["grf"]).packages["grf"] == "2.6.1"
    assert "Rcpp" not in setting_up.plan(["grf"]).packages


def test_an_installation_that_fails_shows_its_last_lines(machine, command):
    machine(status=1)
    status, said = command()
    assert status == 2
    assert "cannot be reached" in said
    assert "hte-bridge setup --repos" in said


@pytest.mark.parametrize(
    ("machine_has", "sentence"),
    [
        (
            {"compiler": "no-such-compiler -std=gnu++17"},
            r"A C\+\+ compiler must be there.*`no-such-compiler`",
        ),
        ({"loads": {"lattice": "0.20"}}, "recommended packages must be there. Matrix cannot be loaded"),
    ],
)
def test_what_compiling_needs_is_asked_for_first(machine, command, machine_has, sentence):
    machine(**machine_has)
    with pytest.raises(setting_up.RUnavailable, match=sentence):
        setting_up.check(setting_up.plan(["grf"]), make=False)


def test_a_library_that_cannot_be_made_is_said(machine, tmp_path, monkeypatch):
    machine()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HTE_BRIDGE_R_LIBRARY", str(tmp_path / "file" / "library"))
    with pytest.raises(
        setting_up.UnwritableFolder, match=r"must be a folder that can be written.*HTE_BRIDGE_R_LIBRARY"
    ):
        setting_up.check(setting_up.plan(["grf"]), make=True)


def test_without_r_the_command_that_brings_it_is_said(command, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "dnf").write_text("#!/bin/sh\n")
    (tmp_path / "dnf").chmod(0o755)
    status, said = command()
    assert status == 2
    assert "`sudo dnf install R`" in said


def test_a_package_that_no_engine_asks_for_is_refused(machine, command):
    machine()
    status, said = command("fixest")
    assert status == 2
    assert "`fixest` is not one. They are `grf`, `maq`, `policytree`." in said


def test_the_system_s_python_gets_a_library_at_home(monkeypatch, tmp_path):
    monkeypatch.delenv("HTE_BRIDGE_R_LIBRARY", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(versions.sys, "platform", "linux")
    monkeypatch.setattr(versions.sys, "prefix", str(tmp_path / "usr"))
    monkeypatch.setattr(versions.sys, "base_prefix", str(tmp_path / "usr"))
    home = tmp_path / "hte-bridge" / "r-library"
    assert (versions.library_path(), versions.library_to_make()) == (None, home)
    home.mkdir(parents=True)
    assert versions.library_path() == home


def test_wheels_carry_the_pins_of_the_lock():
    made = subprocess.run(
        [sys.executable, "-c", "import scripts.pins as p; print(p.pins(), end='')"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert setting_up.LOCK.read_text() == made.stdout
    assert json.loads(setting_up.LOCK.read_text())["Packages"]["grf"]["Version"] == versions.PINNED["grf"]
    assert set(setting_up.needed(versions.BROUGHT)) <= set(setting_up.COSTS)


@pytest.mark.r
def test_r_itself_answers_the_plan(tmp_path, monkeypatch):
    monkeypatch.setenv("HTE_BRIDGE_R_LIBRARY", str(tmp_path / "library"))
    for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.setenv(name, "")
    found = setting_up.plan(["grf"], "file:///mirror")
    assert (found.mirror, found.without) == ("file:///mirror", ())
    assert found.r.startswith("4.")
    assert found.packages["grf"] == versions.PINNED["grf"]
    assert isinstance(found, Plan)
