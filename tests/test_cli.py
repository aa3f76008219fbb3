"""The shell's doors: the same table as Python's, and for bad input the same sentence, with status 2."""

import os
import re
import subprocess
import sys
import warnings

import pandas as pd
import pytest
from test_study import BAD, frame

from hte_bridge import cli, folder
from hte_bridge.comparing import compare
from hte_bridge.errors import UnwritableFolder
from hte_bridge.study import Study
from hte_bridge.table import Table

ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x"]}
NOT_FROM_A_SHELL = (
    "not a frame",
    "propensity of wrong length",
    "unknown type",
    "column occurs twice",
    "many levels",
)
FILES = ["cate.png", "coefficients.png", "report.html", "table.csv", "table.md", "table.parquet", "table.tex"]


@pytest.fixture
def shell(monkeypatch, capsys):
    """Run `hte-bridge ARGUMENTS...` in this process; status, stdout, stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hte-bridge", *map(str, arguments)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return run


def options(roles) -> list[str]:
    """Roles as Python takes them -> options as the shell does."""
    listed = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in roles.items()
    }
    return [text for name, value in listed.items() for text in (f"--{name.replace('_', '-')}", str(value))]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.parquet"
    frame(120).to_parquet(path)
    return path


def test_compare_writes_the_table_that_python_makes(shell, data, tmp_path):
    roles = ROLES | {"covariates": ["x", "town"], "cluster": "unit", "weight": "w"}
    out = tmp_path / "made" / "out"
    status, printed, _ = shell(
        "compare", data, *options(roles), "--engines", "feols", "--seed", 3, "--level", 0.9, "--out", out
    )
    assert status == 0
    table = compare(Study.from_frame(frame(120), **roles), ["feols"], seed=3, level=0.9)
    assert str(table).splitlines()[2] in printed
    pd.testing.assert_frame_equal(Table.load(out / "table.parquet").to_frame(), table.to_frame())
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all((out / name).stat().st_size > 100 for name in FILES)


def test_names_may_hold_commas_spaces_and_accents(shell, tmp_path):
    data = tmp_path / "data.csv"
    frame(120).rename(columns={"x": "größe, netto", "d": "was treated"}).to_csv(data, index=False)
    given = ["--outcome", "y", "--treatment", "was treated", "--covariates", '"größe, netto",town']
    status, printed, _ = shell("compare", data, *given, "--engines", "feols")
    assert status == 0
    assert "größe, netto" in printed


def test_effects_dose_and_known_propensity_are_passed_on(shell, data):
    effects = ROLES | {"covariates": ["x"], "fixed_effects": ["unit", "year"], "cluster": "unit"}
    status, printed, _ = shell("compare", data, *options(effects), "--engines", "feols")
    assert (status, "ape" in printed) == (0, True)
    frame(120).assign(d=lambda made: made["year"]).to_parquet(data)
    status, printed, _ = shell("compare", data, *options(ROLES), "--dose", "--engines", "feols")
    assert (status, "ape" in printed) == (0, True)
    frame(120).to_parquet(data)
    status, printed, _ = shell("compare", data, *options(ROLES | {"propensity": 0.5}), "--engines", "feols")
    assert status == 0
    assert "0.500" in printed


CASES = [case for case in BAD if case[0] not in NOT_FROM_A_SHELL]


@pytest.mark.parametrize(
    ("change", "roles", "says"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_data_get_the_sentence_and_status_2(shell, data, change, roles, says):
    made = frame() if change is None else change(frame())
    made.infer_objects().to_parquet(data)
    status, printed, said = shell("compare", data, *options(ROLES | roles), "--engines", "feols")
    assert (status, printed) == (2, "")
    assert re.search(says, said)
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("roles", "says"),
    [
        ({"cluster": "one"}, "at least two clusters .* 1 found"),
        ({"covariates": ["decides"]}, "`decides` separates them perfectly"),
        ({"fixed_effects": ["d"]}, "`d` is `treatment` and `fixed_effects`"),
        ({"level": 95}, "`level` must be a coverage .* Did you mean 0.95"),
        ({"seed": -1}, "`seed` must be a whole number, 0 or more"),
        ({"folds": 40}, "40 folds need at least 80 rows. 60 found"),
        ({"engines": "feols,xyz"}, "`xyz` is not one. The engines are"),
        ({"engines": "feols,feols"}, "`feols` occurs 2 times"),
        ({"covariates": "x,,town"}, "`--covariates` must be names between commas"),
    ],
)
def test_bad_options_get_the_sentence_and_status_2(shell, data, roles, says):
    frame().assign(one=1, decides=lambda made: made["d"] * 9 + made["x"] / 9).to_parquet(data)
    status, printed, said = shell("compare", data, *options(ROLES | {"engines": "feols"} | roles))
    assert (status, printed) == (2, "")
    assert re.search(says, said)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.parquet", None, "There is no"),
        ("cut.parquet", b"PAR1xx", "must be a whole"),
        ("a.sav", b"x", "must end in"),
        ("a.dta", b"x", "must be a whole"),
    ],
)
def test_bad_files_get_the_sentence_and_status_2(shell, tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    status, _, said = shell("compare", tmp_path / name, *options(ROLES))
    assert status == 2
    assert says in said


def test_a_folder_that_cannot_be_written_is_said_before_the_work(shell, data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    status, printed, said = shell("compare", data, *options(ROLES), "--out", tmp_path / "file" / "out")
    assert (status, printed) == (2, "")
    assert "must be one that can be written" in said


@pytest.fixture
def table():
    return compare(Study.from_frame(frame(), **ROLES), ["feols"])


def test_nothing_half_written_stays(tmp_path, monkeypatch, table):
    def disk_full(comparison, title, work):
        (work / "table.csv").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "write_files", disk_full)
    out = tmp_path / "new" / "out"
    with pytest.raises(UnwritableFolder, match="No space left on device"), folder.write_folder(out) as write:
        write(table, "")
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_the_folder_stay(tmp_path, table):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "table.csv").write_text("of an earlier run")
    with folder.write_folder(tmp_path) as write:
        write(table, "")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "table.csv").read_text().startswith("engine,")
    assert not list(tmp_path.glob(".*"))


def test_report_reads_a_saved_table(shell, tmp_path, table):
    table.save(tmp_path / "t.parquet")
    status, _, _ = shell("report", tmp_path / "t.parquet", "--out", tmp_path / "t.html")
    assert status == 0
    assert "</html>" in (tmp_path / "t.html").read_text(encoding="utf8")


def test_report_of_a_foreign_file_is_a_sentence(shell, data, tmp_path):
    status, _, said = shell("report", data, "--out", tmp_path / "t.html")
    assert status == 2
    assert "must be a table written by `table.save`" in said
    assert not (tmp_path / "t.html").exists()


def test_demo_runs_a_real_study(shell, tmp_path):
    status, printed, _ = shell("demo", "--only", "thornton_hiv", "--engines", "feols", "--out", tmp_path)
    assert status == 0
    assert re.search(r"coefficient +any +0\.4505 +0\.0218", printed)
    assert sorted(path.name for path in (tmp_path / "thornton_hiv").iterdir()) == FILES
    status, _, said = shell("demo", "--only", "wagepann", "--out", tmp_path)
    assert (status, "The nearest is `wagepan`" in said) == (2, True)


@pytest.mark.parametrize("command", ["compare", "report", "demo", "doctor"])
def test_every_command_has_help(shell, command):
    status, printed, _ = shell(command, "--help")
    assert status == 0
    assert "Usage: hte-bridge" in printed
    assert ("Example: hte-bridge" in printed) == (command in ("compare", "report"))


def test_a_missing_option_has_status_2_too(shell, data):
    status, _, said = shell("compare", data)
    assert status == 2
    assert "Missing option" in said


def test_from_a_real_shell_only_the_sentence_is_said(tmp_path):
    command = [sys.executable, "-m", "hte_bridge.cli", "compare", tmp_path / "gone.csv", *options(ROLES)]
    run = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "error"}
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr == f"The data file must exist. There is no `{tmp_path / 'gone.csv'}`. Check the path.\n"
