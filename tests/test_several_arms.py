"""Several arms in ``compare``: each arm beside the control, and contrasts that share the control's units."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import hte_bridge as hb
from hte_bridge import cli, errors
from hte_bridge.comparing import compared
from hte_bridge.fitting import chosen_engines
from hte_bridge.serve.session import Session

N = 300
ROLES: dict[str, Any] = {"outcome": "y", "treatment": "arm", "covariates": ["age", "sex"]}


def trial(n: int = N, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({"age": rng.integers(20, 60, n), "sex": rng.choice(["m", "f"], n)})
    df["arm"] = rng.choice(["placebo", "a", "b"], n)
    effect = df["arm"].map({"placebo": 0.0, "a": 1.0, "b": 2.0})
    return df.assign(y=effect + 0.05 * df["age"] + rng.normal(size=n), village=np.arange(n) // 10)


def arms_of(df: pd.DataFrame, control: Any = "placebo", **more: Any) -> Any:
    return hb.Study.from_frame(df, treatment_type="arms", control=control, **{**ROLES, **more})


@pytest.fixture(scope="module")
def df() -> pd.DataFrame:
    return trial()


@pytest.fixture(scope="module")
def table(df: pd.DataFrame) -> Any:
    return hb.compare(arms_of(df), ["feols"], seed=1)


def test_each_contrast_is_the_comparison_of_its_rows(df: pd.DataFrame, table: Any) -> None:
    for arm in ("a", "b"):
        part = df[df["arm"].isin([arm, "placebo"])].assign(arm=lambda each: (each["arm"] != "placebo") * 1)
        study = hb.Study.from_frame(part, **ROLES)
        folds = hb.Folds(table.folds.fold[part.index], 5, 1)
        own = compared(
            study,
            chosen_engines(["feols"], 1),
            estimands=None,
            folds=folds,
            level=0.95,
            on_error="row",
        )
        pd.testing.assert_frame_equal(table[arm].to_frame(), own.to_frame())
        np.testing.assert_array_equal(table[arm].study.index, part.index)
        rows = [row for row in table.rows if row.term.startswith(f"{arm} - placebo")]
        assert [row.estimate for row in rows] == pytest.approx(
            [row.estimate for row in own.rows], nan_ok=True
        )


def test_folds_hold_every_arm_alike(table: Any) -> None:
    arm = table.study.arm
    sizes = np.array([np.bincount(table.folds.fold[arm == k]) for k in range(3)])
    assert (np.ptp(sizes, axis=1) <= 1).all()


def test_difference_of_contrasts_counts_the_control_once(table: Any) -> None:
    moved = np.zeros((2, N))
    for place, arm in enumerate(("a", "b")):
        gamma = table[arm].scores("feols").gamma
        moved[place, table.study.rows[arm]] = (gamma - gamma.mean()) / len(gamma)
    gap = moved[1] - moved[0]
    by_hand = float(np.sqrt(N / (N - 1) * (gap @ gap)))
    (row,) = table.differences().where(estimand="ate").rows
    assert row.term == "(b - placebo) - (a - placebo)"
    assert row.std_error == pytest.approx(by_hand, rel=1e-12)
    first, second = (each.where(estimand="ate").rows[0] for each in (table["a"], table["b"]))
    assert row.estimate == pytest.approx(second.estimate - first.estimate, rel=1e-12)
    assert row.std_error < np.hypot(first.std_error, second.std_error)


def test_a_statement_about_contrasts_is_their_difference(table: Any) -> None:
    (row,) = table.hypothesis("ate[b - placebo] = ate[a - placebo]").rows
    (less,) = table.differences().where(estimand="ate").rows
    assert row.estimate == pytest.approx(less.estimate, rel=1e-12)
    assert row.std_error == pytest.approx(
        less.std_error, rel=1 / 190
    )  # G / (G - 1) of a contrast, and of all


def test_clusters_are_those_of_the_whole_study(df: pd.DataFrame) -> None:
    made = hb.compare(arms_of(df, cluster="village"), ["feols"], estimands=["ate"], seed=1)
    moved = np.zeros((2, N))
    for place, arm in enumerate(("a", "b")):
        gamma = made[arm].scores("feols").gamma
        moved[place, made.study.rows[arm]] = (gamma - gamma.mean()) / len(gamma)
    totals = np.bincount(df["village"], weights=moved[1] - moved[0])
    (row,) = made.differences().where(estimand="ate").rows
    assert row.std_error == pytest.approx(float(np.sqrt(30 / 29 * (totals @ totals))), rel=1e-12)


def test_errors_of_differences_allow_for_two_clusters(df: pd.DataFrame) -> None:
    both = df.assign(week=np.arange(N) % 12)
    made = hb.compare(arms_of(both, cluster=["village", "week"]), ["feols"], estimands=["ate"], seed=1)
    moved = np.zeros((2, N))
    for place, arm in enumerate(("a", "b")):
        gamma = made[arm].scores("feols").gamma
        moved[place, made.study.rows[arm]] = (gamma - gamma.mean()) / len(gamma)
    ways = [both["village"], both["week"], both["village"] * 12 + both["week"]]
    village, week, cell = (
        float((np.bincount(each, weights=moved[1] - moved[0]) ** 2).sum()) for each in ways
    )
    rows = made.differences().rows
    ate = next(row for row in rows if row.estimand == "ate")
    assert ate.std_error == pytest.approx((12 / 11 * (village + week - cell)) ** 0.5, rel=1e-12)
    assert {row.vcov for row in rows} == {"CRV1 (village + week)"}


@pytest.mark.parametrize(
    ("verb", "args"),
    [("gate", ("sex",)), ("gates", (3,)), ("projection", ("age",)), ("average", ("att", "age > 40"))],
)
def test_a_verb_of_all_is_that_of_each(table: Any, verb: str, args: tuple[Any, ...]) -> None:
    found = getattr(table, verb)(*args)
    each = [row for arm in ("a", "b") for row in getattr(table[arm], verb)(*args).rows]
    assert [row.estimate for row in found.rows] == pytest.approx([row.estimate for row in each], nan_ok=True)
    assert all(row.term.startswith(("a - placebo", "b - placebo")) for row in found.rows)


def test_labels_for_every_unit_go_to_the_units_of_each_contrast(df: pd.DataFrame, table: Any) -> None:
    old = np.where(df["age"] > 40, "old", "young")
    by_position, by_label = table.gate(old), table.gate(pd.Series(old, index=df.index))
    assert [row.estimate for row in by_position.rows] == pytest.approx(
        [row.estimate for row in by_label.rows], nan_ok=True
    )


def test_effects_of_new_rows_have_the_contrast_in_their_index(df: pd.DataFrame, table: Any) -> None:
    found = table.cate(df.head(2), "feols")
    np.testing.assert_array_equal(found.loc["b - placebo"], table["b"].cate(df.head(2), "feols"))


@pytest.mark.parametrize(
    "of",
    [
        {"placebo": 0, "a": 1, "b": 2},
        {"placebo": 0.5, "a": 1.5, "b": 2.5},
        {"placebo": "-", "a": "1", "b": "é"},
    ],
)
def test_any_kind_of_label_gives_the_same_numbers(df: pd.DataFrame, table: Any, of: dict[str, Any]) -> None:
    made = hb.compare(
        arms_of(df.assign(arm=df["arm"].map(of)), of["placebo"]), ["feols"], estimands=["ate"], seed=1
    )
    expected = [row.estimate for row in table.where(estimand="ate").rows]
    assert [row.estimate for row in made.where(estimand="ate").rows] == pytest.approx(expected, rel=1e-12)


def test_control_by_default_is_the_first_and_said(df: pd.DataFrame) -> None:
    study = arms_of(df, None)
    assert study.labels == ("a", "b", "placebo")
    assert "the control is `a`, the first level of `arm`" in study.notes[0]
    ordered = pd.Categorical(df["arm"], ["placebo", "b", "a"])
    assert arms_of(df.assign(arm=ordered), None).labels == ("placebo", "b", "a")
    assert "the control is `a`" in str(hb.compare(study, ["feols"], estimands=["ate"]))


def test_missing_arms_are_dropped_and_counted(df: pd.DataFrame) -> None:
    gaps = df["arm"].where(df.index > 3)
    study = arms_of(df.assign(arm=gaps))
    assert dict(study.dropped) == {"missing treatment arm": 4}
    assert study.n == N - 4


@pytest.mark.parametrize(
    ("change", "control", "sentence"),
    [
        ({}, "placbo", "`control` must be an arm of `arm`. `placbo` is none. The nearest is `placebo`."),
        ({"a": "b"}, "placebo", "needs three arms or more. `arm` holds 2"),
    ],
)
def test_bad_arms_get_a_sentence(
    df: pd.DataFrame, change: dict[str, str], control: str, sentence: str
) -> None:
    with pytest.raises(errors.HteBridgeError) as caught:
        arms_of(df.assign(arm=df["arm"].replace(change)), control)
    assert sentence in str(caught.value)


def test_an_arm_with_too_few_units_is_named(df: pd.DataFrame) -> None:
    with pytest.raises(errors.InvalidData, match=r"4 units or more.*`c` of `arm` has 1 of 4 arms"):
        arms_of(df.assign(arm=df["arm"].where(df.index > 0, "c")))
    few = df.assign(arm=df["arm"].where(df.index > 3, "c"))
    with pytest.raises(errors.InvalidData, match=r"10 units of each arm\. `c` has 4"):
        hb.compare(arms_of(few), ["feols"])


def test_an_arm_in_few_clusters_has_no_interval(df: pd.DataFrame) -> None:
    few = df.assign(arm=df["arm"].where(df["village"] > 1, "c"))
    made = hb.compare(arms_of(few, cluster="village"), ["feols"], estimands=["ate"])
    row = made["c"].where(estimand="ate").rows[0]
    assert np.isnan(row.std_error)
    assert "no interval: the variation of `arm` lies in few clusters" in row.note
    assert made["b"].where(estimand="ate").rows[0].std_error > 0


def test_control_without_arms_is_refused(df: pd.DataFrame) -> None:
    two = df.assign(arm=(df["arm"] == "a") * 1)
    with pytest.raises(errors.InvalidOption, match="without `treatment_type='arms'`"):
        hb.Study.from_frame(two, **ROLES, control=0)


def test_the_control_is_no_contrast(table: Any) -> None:
    with pytest.raises(errors.InvalidOption, match="`placebo` is the control"):
        table["placebo"]
    assert table["b - placebo"] is table.contrast("b")


def test_known_chances_make_each_contrast_s_propensity(df: pd.DataFrame) -> None:
    frame = df.assign(share=np.where(df["sex"] == "m", 0.2, 0.5))
    made = arms_of(frame, propensity={"a": 0.25, "b": "share"})
    own = made.studies["b"]
    rest = 1 - 0.25 - frame["share"].to_numpy()[made.rows["b"]]
    share = frame["share"].to_numpy()[made.rows["b"]]
    np.testing.assert_allclose(own.propensity, share / (share + rest), rtol=1e-12)
    table = hb.compare(made, ["feols"], estimands=["ate"], seed=1)
    assert "propensity={'a': 0.25, 'b': 'share'}" in table.meta["code"]
    held = table["b"].fits["feols"].heldout
    assert held is not None
    np.testing.assert_allclose(held.propensity, own.propensity, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        (0.3, errors.InvalidOption, "chance of each by its name"),
        ({"a": 0.3}, errors.InvalidOption, "That of `b` is missing"),
        ({"a": 0.3, "c": 0.3}, errors.InvalidOption, "`c` is none"),
        ({"a": 0.3, "b": "ag"}, errors.InvalidOption, "nearest"),
        ({"a": 0.3, "b": "sex"}, errors.InvalidData, "must be numeric"),
        ({"a": 0.5, "b": 0.5}, errors.InvalidData, "strictly between 0 and 1"),
        ({"a": 0.3, "b": 0.3, "placebo": 0.3}, errors.InvalidData, "add up to 1"),
    ],
)
def test_chances_that_are_none_are_refused(df: pd.DataFrame, given: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        arms_of(df, propensity=given)


def test_arms_from_r_have_the_folds_and_rows_of_python(df: pd.DataFrame, table: Any, tmp_path: Any) -> None:
    session = Session(tmp_path)
    rows = df.set_axis(pd.RangeIndex(1, N + 1))  # as R counts them
    options = {**ROLES, "treatment_type": "arms", "control": "placebo"}
    about = session.study(rows, options)
    assert list(about["arms"]) == ["placebo", "a", "b"]
    made = session.compare(session.held[about["handle"]], ["feols"], {"seed": 1.0})
    pd.testing.assert_frame_equal(made.to_frame(), table.to_frame())
    part = session.part(made, "b")
    np.testing.assert_array_equal(part["kept"] - 1, table["b"].study.index)
    with pytest.raises(errors.InvalidOption, match="must be asked of one arm"):
        session.heldout(made, "feols")


def test_a_formula_makes_arms_too(df: pd.DataFrame, table: Any) -> None:
    formula = partial(hb.Study.from_formula, "y ~ age + sex", df, treatment="arm")
    made = hb.compare(formula(treatment_type="arms", control="placebo"), ["feols"], estimands=["ate"], seed=1)
    expected = [row.estimate for row in table.where(estimand="ate").rows]
    assert [row.estimate for row in made.where(estimand="ate").rows] == pytest.approx(expected, rel=1e-12)


@pytest.mark.r
def test_a_forest_for_each_contrast(df: pd.DataFrame) -> None:
    made = hb.compare(
        arms_of(df), [hb.CausalForest(num_trees=200, seed=1), "feols"], estimands=["ate"], seed=1
    )
    rows = made.where(estimand="ate", engine="grf").rows
    assert [row.term for row in rows] == ["a - placebo", "b - placebo"]
    assert all(row.std_error > 0 for row in rows)
    less = made.differences("engines").where(estimand="ate", term="b - placebo")
    assert [row.engine for row in less.rows] == ["feols - grf"]


def test_the_shell_takes_arms(df: pd.DataFrame, tmp_path: Any) -> None:
    path, out = tmp_path / "trial.csv", tmp_path / "out"
    df.to_csv(path, index=False)
    line = f"--outcome y --treatment arm --covariates age,sex --treatment-type arms --control placebo --engines feols --out {out}"
    said = CliRunner().invoke(cli.app, ["compare", str(path), *line.split()])
    assert said.exit_code == 0
    assert "b - placebo" in said.output
    assert {"report.html", "coefficients.png", "table.csv"} <= {each.name for each in out.iterdir()}


def test_a_report_answers_for_each_contrast(table: Any, tmp_path: Any) -> None:
    page = table.report(tmp_path / "arms.html").read_text(encoding="utf8")
    for arm in ("a", "b"):
        assert f"on average <code>{arm} against placebo</code> raises <code>y</code>" in page


def test_a_grid_of_several_arms_is_of_one_contrast(df: pd.DataFrame, table: Any) -> None:
    with pytest.raises(errors.InvalidOption, match="a study of two arms or of a dose"):
        hb.datagrid(arms_of(df), age=[20, 40])
    assert len(hb.datagrid(table["b"].study, age=[20, 40])) == 2


def test_weak_overlap_of_all_contrasts_is_one_warning_and_notes_of_engines_are_known_by_contrast(
    df: pd.DataFrame,
) -> None:
    rng = np.random.default_rng(5)
    old = (df["age"] > 40).to_numpy()
    by_age = np.where(
        old, rng.choice(["placebo", "a", "b"], N, p=[0.9, 0.07, 0.03]), rng.choice(["a", "b", "placebo"], N)
    )
    made = hb.compare(arms_of(df.assign(arm=by_age)), ["feols"], estimands=["ate"], seed=1)
    weak = [each for each in made.meta["warnings"] if "overlap is weak" in each]
    assert len(weak) == 1
    assert "(a - placebo, feols), from" in weak[0]
    holed = df.assign(age=df["age"].where((df["arm"] != "b") | (df.index % 7 > 0)))
    made = hb.compare(arms_of(holed), ["feols"], estimands=["ate"], seed=1)
    (note,) = made.meta["notes"]["feols"]  # of the second contrast alone
    assert note in made["b"].meta["notes"]["feols"]
    assert made["a"].meta["notes"]["feols"] == []
