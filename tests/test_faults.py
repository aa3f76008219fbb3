"""What nobody foresaw in one engine, estimand or pair of engines is a row that says so; the other rows stand."""

import json
import os
import sys
import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge import cli, folder, progress
from hte_bridge.between import agreement, differences, race
from hte_bridge.errors import HteBridgeError, InvalidData, InvalidOption, RUnavailable
from hte_bridge.faults import Fault, Guard, silent
from hte_bridge.rows import distinct
from hte_bridge.table import Estimate, Table

ERRORS = [
    np.linalg.LinAlgError("Singular matrix"),
    ValueError("Input contains NaN.\n  Second line"),
    TypeError("unhashable type: 'list'"),
    ZeroDivisionError("division by zero"),
    RuntimeError("SVD did not converge"),
    KeyError("x"),
    FloatingPointError("overflow"),
    RecursionError(),
]


def frame(n=200, seed=0):
    rng = np.random.default_rng(seed)
    x, d = rng.normal(size=n), np.arange(n) % 2
    return pd.DataFrame({"y": d * (1 + x) + rng.normal(size=n), "d": d, "x": x, "g": np.arange(n) // 5})


@pytest.fixture(scope="module")
def study():
    return hb.Study.from_frame(frame(), outcome="y", treatment="d", covariates=["x"])


@dataclass(frozen=True)
class Stumbling:
    """Feols under another name that stumbles in its fit, in its own rows, or in one estimand's column."""

    where: str
    error: BaseException
    name: str = "stumbling"

    def fit(self, study, folds=None):
        if self.where == "fit":
            raise self.error
        return StumblingFit(hb.Feols(label=self.name).fit(study, folds), self)


@dataclass(frozen=True)
class StumblingFit:
    fitted: object
    stumble: Stumbling
    notes: tuple = ()
    reasons: dict = field(default_factory=dict)
    info: dict = field(default_factory=dict)

    engine = property(lambda self: self.stumble.name)
    study = property(lambda self: self.fitted.study)

    @property
    def heldout(self):
        return self.fitted.heldout

    def rows(self, level):
        if self.stumble.where == "rows":
            raise self.stumble.error
        return self.fitted.rows(level)

    def cate(self, new, level=0.95):
        raise self.stumble.error


@pytest.mark.parametrize("where", ["fit", "rows"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_an_engine_raises_is_a_row_and_the_others_stand(study, where, error):
    alone = hb.compare(study, [hb.Feols()]).to_frame()
    table = hb.compare(study, [Stumbling(where, error), hb.Feols()])
    pd.testing.assert_frame_equal(table.where(engine="feols").to_frame(), alone)
    row = table.where(engine="stumbling").rows[0]
    assert np.isnan(row.estimate)
    assert f"It ended in {type(error).__name__}" in row.note
    assert "Please report it" in row.note
    assert "\n" not in row.note
    held = table.meta["engines"]["stumbling"]["traceback"]
    assert held.startswith("Traceback")
    assert "test_faults.py" in held
    for shown in (str(table), table._repr_html_(), table.to_latex(), table.to_markdown()):
        assert "Traceback (" not in shown
        assert "test_faults.py" not in shown
    json.dumps(table.meta)


def test_a_saved_table_keeps_the_traceback_and_the_report_does_not_show_it(study, tmp_path):
    table = hb.compare(study, [Stumbling("fit", TypeError("odd")), hb.Feols()])
    table.save(tmp_path / "t.parquet")
    assert "odd" in Table.load(tmp_path / "t.parquet").meta["engines"]["stumbling"]["traceback"]
    page = table.report(tmp_path / "r.html").read_text(encoding="utf8")
    assert "Traceback (" not in page


def test_one_estimand_that_fails_leaves_the_others(study, monkeypatch):
    from hte_bridge.estimand import ESTIMANDS

    def broken(*_):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setitem(ESTIMANDS, "projection", replace(ESTIMANDS["projection"], make=broken))
    table = hb.compare(study, [hb.Feols()])
    assert np.isfinite([row.estimate for row in table.rows if row.estimand != "projection"]).all()
    (row,) = table.where(estimand="projection").rows
    assert row.note.startswith(
        "`projection` of `feols` must end in numbers or in a reason. It ended in LinAlgError"
    )
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        hb.compare(study, [hb.Feols()], on_error="raise")


@pytest.mark.parametrize("where", ["fit", "rows"])
def test_developers_get_the_exception_itself(study, where):
    with pytest.raises(ZeroDivisionError, match="by zero"):
        hb.compare(study, [Stumbling(where, ZeroDivisionError("by zero"))], on_error="raise")


def test_on_error_is_checked(study):
    with pytest.raises(InvalidOption, match=r"`on_error` must be 'row' or 'raise'. 'ignore' was given"):
        hb.compare(study, [hb.Feols()], on_error="ignore")


@pytest.mark.parametrize("ended", [KeyboardInterrupt(), SystemExit(3)])
def test_an_interrupt_is_no_fault(study, ended):
    with pytest.raises(type(ended)):
        hb.compare(study, [Stumbling("fit", ended)])


@pytest.mark.parametrize("error", [InvalidOption("`trees` must be more."), InvalidData("`x` must vary.")])
def test_what_concerns_the_call_is_still_raised(study, error):
    with pytest.raises(type(error), match="must"):
        hb.compare(study, [Stumbling("fit", error), hb.Feols()])


def test_memory_that_runs_out_is_a_sentence(study):
    row = hb.compare(study, [Stumbling("fit", MemoryError())]).rows[0]
    assert "The fit of `stumbling` must fit in memory" in row.note


def test_what_is_no_fit_is_a_row(study):
    class Odd:
        name = "odd"

        def fit(self, study, folds=None):
            return {"cate": 1}

    assert "dict is no Fit" in hb.compare(study, [Odd(), hb.Feols()]).where(engine="odd").rows[0].note


def test_predictions_that_are_not_finite_are_a_row_and_not_the_end(study):
    @dataclass(frozen=True)
    class Endless:
        name: str = "endless"

        def fit(self, study, folds=None):
            fit = hb.Feols(label="endless").fit(study, folds)
            return replace(fit, heldout=replace(fit.heldout, cate=np.full(study.n, np.inf)))

    table = hb.compare(study, [Endless(), hb.Feols()])
    assert "Held-out `cate` must be finite" in table.where(engine="endless").rows[0].note
    assert np.isfinite(table.where(engine="feols", estimand="ate").rows[0].std_error)


def test_warnings_of_numpy_stay_inside_even_where_warnings_are_errors(study):
    @dataclass(frozen=True)
    class Loud:
        name: str = "loud"

        def fit(self, study, folds=None):
            np.float64(1e300) * np.float64(1e300)
            np.zeros(0).mean()
            np.log(np.zeros(1))
            return hb.Feols(label="loud").fit(study, folds)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("error")
        table = hb.compare(study, [Loud()])
    assert not said
    assert np.isfinite(table.where(estimand="ate").rows[0].std_error)


# ---- verbs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(study):
    return hb.compare(study, [hb.Feols(), hb.Feols(vcov="iid", label="second")], seed=1)


def test_a_verb_that_fails_for_one_engine_keeps_the_other(two):
    def make(fit, scores):
        if fit.engine == "second":
            raise ValueError("Categorical categories must be unique")
        return [Estimate("gate", 1.0, 0.1, term="all")]

    table = two.per_engine("gate", make)
    assert table.rows[0].estimate == 1
    assert "categories must be unique" in table.rows[1].note
    assert "ValueError" in table.meta["engines"]["second"]["traceback"]
    with pytest.raises(ValueError, match="must be unique"):
        replace(two, on_error="raise").per_engine("gate", make)


def test_other_errors_that_fail_for_one_engine_keep_its_estimates_and_the_other(two, monkeypatch):
    from hte_bridge import inference

    real = inference.with_vcov

    def broken(rows, *rest):
        if rows[0].engine == "second":
            raise np.linalg.LinAlgError("Singular matrix")
        return real(rows, *rest)

    monkeypatch.setattr(inference, "with_vcov", broken)
    table = two.with_vcov("hetero")
    assert [row.engine for row in table.rows] == [row.engine for row in two.rows]
    assert [row.estimate for row in table.rows] == [row.estimate for row in two.rows]
    assert np.isnan([row.std_error for row in table.where(engine="second").rows]).all()
    assert np.isfinite(table.where(engine="feols", estimand="ate").rows[0].std_error)


@pytest.mark.parametrize(
    ("module", "name", "ask"),
    [
        (differences, "_pair", lambda table: table.differences()),
        (agreement, "_parting", lambda table: table.agreement()),
        (race, "rate_by_fold", lambda table: table.race()),
    ],
)
def test_one_pair_of_engines_that_fails_leaves_the_others(study, monkeypatch, module, name, ask):
    engines = [hb.Feols(), hb.Feols(vcov="iid", label="second"), hb.Feols(plain=False, label="third")]
    table, calls, real = hb.compare(study, engines, seed=1), [], getattr(module, name)

    def once(*args, **options):
        calls.append(1)
        if len(calls) == 1:
            raise IndexError("out of range")
        return real(*args, **options)

    monkeypatch.setattr(module, name, once)
    rows = ask(table).rows
    failed = [row for row in rows if "It ended in IndexError (out of range)" in row.note]
    assert failed
    assert len(rows) > len(failed) + 2


def test_what_fails_outside_the_engines_is_a_sentence_too(two, monkeypatch):
    from hte_bridge import comparison

    def broken(*_):
        raise KeyError("lost")

    monkeypatch.setattr(comparison, "labels_of", broken)
    with pytest.raises(Fault, match=r"`gate` must end in numbers or in a reason. It ended in KeyError"):
        two.gate("x")
    with pytest.raises(TypeError, match="unexpected keyword argument 'bin'"):
        two.gate("x", bin=3)


def test_cate_that_fails_is_a_sentence(study):
    table = hb.compare(study, [Stumbling("cate", ZeroDivisionError("by zero"))])
    with pytest.raises(HteBridgeError, match="`cate` must end in numbers or in a reason"):
        table.cate(frame().head(2), engine="stumbling")


def test_no_two_rows_have_one_name():
    rows = distinct(
        [Estimate("gate", k, term=term) for k, term in enumerate(["a", "a", "a (2)", "", "", "a"])]
    )
    assert [row.term for row in rows] == ["a", "a (2)", "a (2) (2)", "", "(2)", "a (3)"]


# ---- the shell, and places without a console ------------------------------------------------------------------------


@pytest.mark.parametrize(("works", "status"), [((), 1), (("feols",), 0)])
def test_a_comparison_in_which_no_engine_ran_has_status_1(monkeypatch, capsys, tmp_path, works, status):
    from hte_bridge.engines.forest import CausalForest

    def missing(*_, **__):
        raise RUnavailable("R must be installed. It is not. Install it.")

    monkeypatch.setattr(CausalForest, "fit", missing)
    frame().to_parquet(tmp_path / "data.parquet")
    roles = ["--outcome", "y", "--treatment", "d", "--covariates", "x", "--out", tmp_path / "out"]
    line = [
        "hte-bridge",
        "compare",
        tmp_path / "data.parquet",
        *roles,
        "--engines",
        ",".join(["grf", *works]),
    ]
    monkeypatch.setattr(sys, "argv", list(map(str, line)))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed, said = capsys.readouterr()
    assert ended.value.code == status
    assert "R must be installed. It is not." in printed
    assert ("No engine could run" in said) == (status == 1)
    assert (tmp_path / "out" / "table.parquet").exists() == (status == 0)


class Bare:
    """What some notebook servers put in stderr's place: it writes, and no more."""

    def write(self, text):
        return len(text)


@pytest.mark.parametrize("stderr", [None, Bare()])
@pytest.mark.parametrize("setting", [None, "0"])
def test_progress_and_warnings_need_no_console(study, monkeypatch, stderr, setting):
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.delenv("HTE_BRIDGE_PROGRESS", raising=False)
    if setting is not None:
        monkeypatch.setenv("HTE_BRIDGE_PROGRESS", setting)
    assert not progress.wanted()
    cli.say_warning("careful")
    assert len(hb.compare(study, [hb.Feols()]))


def test_a_bar_that_is_asked_for_without_a_console_is_not_drawn(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setenv("HTE_BRIDGE_PROGRESS", "1")
    assert list(progress.steps([1, 2], "step")) == [1, 2]


def test_closed_streams_neither_draw_bars_nor_cost_a_table(study, tmp_path, monkeypatch):
    shut = (tmp_path / "stream").open("w")
    shut.close()
    gone = (tmp_path / "descriptor").open("w")
    os.close(gone.fileno())
    monkeypatch.setenv("HTE_BRIDGE_PROGRESS", "1")
    table = hb.compare(study, [hb.Feols()])
    try:
        for stream in (shut, gone):
            for name in ("stdout", "stderr"):
                monkeypatch.setattr(sys, name, stream)
            assert not progress.wanted()
            assert list(progress.steps([1, 2], "step")) == [1, 2]
            assert str(table)
    finally:
        os.dup2(os.open(os.devnull, os.O_WRONLY), gone.fileno())  # so that its end closes its own
        gone.close()


def test_a_picture_that_fails_costs_the_folder_nothing_else(study, tmp_path, monkeypatch):
    def broken(*args, **options):
        raise ZeroDivisionError("no axes")

    monkeypatch.setattr("hte_bridge.plot.coefficients", broken)
    made = folder.write_files(hb.compare(study, [hb.Feols()]), None, tmp_path)
    assert {"table.csv", "cate.png", "report.html"} <= set(made)
    assert "coefficients.png" not in made


def test_a_guard_keeps_each_traceback_once():
    guard = Guard()
    for _ in range(2):
        with pytest.raises(Fault), guard("grf", "The fit"):
            raise ValueError("a")
    assert guard.tracebacks["grf"].count("Traceback") == 1
    assert guard.noted({"engines": {"grf": {"trees": 5}}})["engines"]["grf"]["trees"] == 5
    assert guard.noted({"n": 3})["n"] == 3


def test_what_pandas_tells_pyfixest_stops_nothing():
    def told(module):
        warnings.warn_explicit(
            "inplace will go", DeprecationWarning, "file.py", 1, module=module, registry={}
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with silent():
            told("pyfixest.estimation.models")
            with pytest.raises(DeprecationWarning):
                told("hte_bridge.engines.feols")
        with pytest.raises(DeprecationWarning):
            told("pyfixest.estimation.models")
