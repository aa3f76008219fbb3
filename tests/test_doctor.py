"""What is installed, and the command that mends what is not."""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from hte_bridge import cli, doctor
from hte_bridge.doctor import FoundR, Part, Report
from hte_bridge.errors import RUnavailable

ALL = {"feols": True, "grf": True, "deep": True}


def report(**engines) -> Report:
    return Report((Part("Python", True, "3.11.7"), Part("grf", False, mend="make it so")), ALL | engines)


@pytest.fixture
def command(monkeypatch, capsys):
    def run(found, *arguments):
        monkeypatch.setattr(doctor, "examine", lambda: found)
        monkeypatch.setattr(sys, "argv", ["hte-bridge", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().out

    return run


def test_status_is_0_only_where_all_three_engines_run(command):
    assert command(report())[0] == 0
    assert [command(report(**{name: False}))[0] for name in ALL] == [1, 1, 1]


def test_a_missing_part_comes_with_the_command_that_mends_it(command):
    lines = command(report(grf=False))[1].splitlines()
    assert lines[1].split() == ["MISSING", "grf"]
    assert lines[2].split(maxsplit=1) == ["mend:", "make it so"]
    assert lines[-1] == "engines: feols runs, grf does not run, deep runs"


def test_json_says_the_same_to_machines(command):
    status, printed = command(report(deep=False), "--json")
    said = json.loads(printed)
    assert (status, said["healthy"], said["engines"]["deep"]) == (1, False, False)
    assert said["parts"][1] == {
        "name": "grf",
        "found": False,
        "version": "",
        "detail": "",
        "mend": "make it so",
    }


def test_a_library_that_is_there_but_does_not_load_is_not_found(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('libgomp.so.1 is missing')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    part = doctor.library("torch")
    assert not part.found
    assert part.detail == "ImportError: libgomp.so.1 is missing"
    assert part.mend.startswith("pip install")


def test_torch_names_the_device_that_deep_takes(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text(
        "class cuda:\n    is_available = lambda: True\n    get_device_name = lambda: 'NVIDIA H200'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert doctor.library("torch").detail == "NVIDIA H200"


def test_a_library_that_is_not_there_is_said(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", absent)
    assert doctor.library("pyfixest") == Part("pyfixest", False, mend="pip install 'pyfixest>=0.60'")


def test_without_r_every_part_of_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("R_HOME", raising=False)
    there = doctor.ask_r()
    assert there == FoundR(error="no Rscript on the PATH")
    assert "R" in doctor.r_part(there).mend
    assert doctor.grf_part(there).detail == "needs R"
    assert doctor.grf_part(there).mend == "hte-bridge setup"


def test_an_r_that_breaks_is_said_in_its_words(tmp_path, monkeypatch):
    rscript = tmp_path / "Rscript"
    rscript.write_text("#!/bin/sh\necho 'cannot load libR.so' >&2\nexit 127\n")
    rscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert doctor.ask_r() == FoundR(error="cannot load libR.so")


def test_where_r_cannot_be_reached_the_sentence_says_why(monkeypatch):
    def broken():
        raise RUnavailable("R must start.")

    monkeypatch.setattr(doctor.client, "worker", broken)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    part = doctor.rpy2(doctor.reach())
    assert (part.found, part.detail, part.mend) == (False, "R must start.", "")


@pytest.mark.parametrize(("r", "older"), [("4.2.2", True), ("4.5.0", False)])
def test_an_rpy2_that_does_not_load_is_built_anew_for_that_r(r, older, monkeypatch):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "3.6.4")
    part = doctor.rpy2({"bridge": "Rscript", "r": r})
    assert part.detail == "does not load; R is reached by Rscript, with the same numbers"
    assert ("rpy2-rinterface<3.6.6" in part.mend) == older


def test_an_rpy2_that_is_not_there_needs_no_mending(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", absent)
    part = doctor.rpy2({"bridge": "Rscript", "r": "4.2.2"})
    assert part.detail.startswith("not installed; R is reached by Rscript")
    assert Report((part,), ALL).to_text().startswith("absent   rpy2")


@pytest.mark.r
def test_r_says_its_versions_and_the_bridge_its_mode():
    there = doctor.ask_r()
    assert doctor.r_part(there).version.startswith("4.")
    assert doctor.grf_part(there).version.startswith("2.")
    bridge = doctor.rpy2(doctor.reach())
    assert bridge.found
    assert bridge.detail in ("API mode", "ABI mode")


@pytest.mark.r
def test_a_missing_grf_is_found_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("HTE_BRIDGE_R_LIBRARY", str(tmp_path))
    for name in ("R_LIBS", "R_LIBS_USER", "R_LIBS_SITE"):
        monkeypatch.setenv(name, "")
    part = doctor.grf_part(doctor.ask_r())
    assert not part.found
    assert "no package called" in part.detail
    assert part.mend == "hte-bridge setup"


@pytest.mark.slow
def test_the_whole_screen_fits():
    run = subprocess.run([sys.executable, "-m", "hte_bridge.cli", "doctor"], capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert len(lines) <= 24
    names = ["Python", "pyfixest", "torch", "rpy2", "R", "grf", "BLAS", "threads", "memory"]
    assert [line.split()[1] for line in lines if line.startswith(("ok", "MISSING", "absent"))] == names
    runs = lines[-1].count(" runs")
    assert run.returncode == (0 if runs == 3 else 1)
