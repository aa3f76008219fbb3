"""Study.from_formula: what is computed, how new rows are, and what never runs."""

import json
import re

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.encode import Encoder
from hte_bridge.errors import InvalidNewData, InvalidOption

N = 160
RNG = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {
        "age": RNG.integers(20, 60, N),
        "region": RNG.integers(1, 4, N),
        "dist": RNG.uniform(1, 9, N),
        "village": RNG.integers(0, 10, N),
        "income": np.exp(RNG.normal(size=N)),
        "town": RNG.choice(["a", "b", "c"], N),
        "any": RNG.integers(0, 2, N),
    }
)
FRAME["got"] = FRAME["any"] * (1 + np.log(FRAME["dist"])) + RNG.normal(size=N)
CURVED = (
    "got ~ poly(age, 2) + i(region, ref=3)*dist + bs(income, df=4) + I(age > 30) + town:dist + scale(dist)"
)


def study(formula: str, **roles):
    return hb.Study.from_formula(formula, FRAME, treatment="any", **roles)


def test_the_formula_is_the_roles_written_out():
    found = study("got ~ age + C(region) + log(dist) | village", controls="~ log(income) + town")
    frame = FRAME.assign(
        r2=FRAME["region"].astype(str), logdist=np.log(FRAME["dist"]), loginc=np.log(FRAME["income"])
    )
    same = hb.Study.from_frame(
        frame,
        outcome="got",
        treatment="any",
        covariates=["age", "r2", "logdist"],
        controls=["loginc", "town"],
        fixed_effects="village",
    )
    assert found.names.covariates == ("age", "C(region)[2]", "C(region)[3]", "log(dist)")
    assert found.names.controls == ("log(income)", "town[b]", "town[c]")
    assert np.array_equal(found.covariates, same.covariates)
    assert np.array_equal(found.controls, same.controls)
    assert found.names.fixed_effects == ("village",)
    assert "log(dist)" not in FRAME.columns


def test_terms_are_formulaic_s_columns():
    from formulaic import model_matrix

    found = study("got ~ age * town + poly(dist, 2) + bs(income, df=4)")
    theirs = model_matrix("age * town + poly(dist, 2) + bs(income, df=4)", FRAME)
    ours = np.column_stack([np.ones(N), found.covariates])
    both = np.linalg.matrix_rank(np.column_stack([ours, theirs]))
    assert both == np.linalg.matrix_rank(ours) == np.linalg.matrix_rank(np.asarray(theirs))
    apart = study("got ~ age + age:town").covariates  # without town itself each level has a slope
    assert apart.shape[1] == 3
    assert study("got ~ age:town").covariates.shape[1] == 3


def test_new_rows_are_computed_as_the_study_s_were_and_need_no_outcome():
    found = study(CURVED, cluster="village")
    new = FRAME.head(7)[["age", "region", "dist", "income", "town"]]
    assert np.abs(found.encoder.transform(new) - found.covariates[:7]).max() == 0
    one = new.tail(1)  # what is learned of a column is not learned anew
    assert np.abs(found.encoder.transform(one) - found.covariates[6]).max() == 0
    again = Encoder.from_json(json.loads(json.dumps(found.encoder.to_json())))
    assert np.abs(again.transform(new) - found.covariates[:7]).max() < 1e-12
    table = hb.compare(found, ["feols"], seed=1)
    assert np.isfinite(table.cate(new, "feols")["estimate"]).all()
    assert len(table.gate("C(region, ref=3)").rows) == 4


def test_from_a_file_and_with_gaps(tmp_path):
    FRAME.assign(income=FRAME["income"].where(FRAME.index % 5 != 0)).to_csv(tmp_path / "f.csv", index=False)
    found = hb.Study.from_formula("got ~ log(income) + C(region)", tmp_path / "f.csv", treatment="any")
    assert np.isnan(found.covariates[:, 0]).sum() == N / 5
    assert found.filled_names[-1] == "log(income) missing"
    FRAME[["income", "region"]].head(3).to_csv(tmp_path / "new.csv", index=False)
    assert found.encoder.transform(tmp_path / "new.csv").shape == (3, 3)


RUN = [
    "got ~ age + {age.to_csv('PATH')}",
    "got ~ {__import__('os').system('touch PATH')}",
    "got ~ __import__('os')",
    "got ~ I(__import__('os').system('touch PATH'))",
    "got ~ age.to_csv('PATH')",
    "got ~ eval('1')",
    "got ~ exec(age)",
    "got ~ Q('age').to_csv('PATH')",
    "got ~ np.savetxt('PATH', age)",
    "got ~ (lambda: 1)()",
    "got ~ poly(age, __import__('os'))",
    "__import__('os') ~ age",
]


@pytest.mark.parametrize("text", RUN)
@pytest.mark.parametrize("where", ["formula", "controls"])
def test_nothing_runs(text, where, tmp_path):
    text = text.replace("PATH", str(tmp_path / "evil"))
    if where == "controls":
        if text.split("~")[0] != "got ":
            return
        roles, formula = {"controls": "~" + text.split("~")[1]}, "got ~ dist"
    else:
        roles, formula = {}, text
    with pytest.raises(InvalidOption, match=f"`{where}` must be a formula"):
        study(formula, **roles)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        ("got ~ zz", "`zz` is not one of the columns"),
        ("age + dist", "has not one outcome on the left of one `~`"),
        ("got ~ age | village * 2", "must be the name of a column, as fixed effects are"),
        ("got ~ log(town)", "computes with text"),
        ("got ~ i(region, ref=9)", "has no level 9"),
        ("got ~ C(region, contr.sum)", "may be given ref="),
        (5, "`formula` must be text such as"),
    ],
)
def test_sentences(formula, sentence):
    with pytest.raises(InvalidOption, match=re.escape(sentence)):
        study(formula)


def test_new_rows_that_do_not_fit_get_a_sentence():
    found = study(CURVED)
    new = FRAME.head(2)
    with pytest.raises(InvalidNewData, match="`dist` is missing"):
        found.encoder.transform(new.drop(columns="dist"))
    with pytest.raises(InvalidNewData, match="level 8, which the study has not seen"):
        found.encoder.transform(new.assign(region=8))
    with pytest.raises(InvalidNewData, match="formula can be computed"):
        found.encoder.transform(new.assign(income=1e6))


def test_forests_and_deep_keep_the_recipe(tmp_path):
    found = study("got ~ log(dist) + C(region)")
    from hte_bridge.engines.deep.canonical import Seen

    seen = Seen.of(found, hb.Folds.make(found, 2, 1))
    assert seen.encode(FRAME.head(3)[["dist", "region"]]).shape == (3, 3)
