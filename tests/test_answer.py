"""The answer of a report: an effect only where no interval holds zero, a ranking only where tests find one, code that runs."""

import re

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.report.verdict import answer, differs, effect, engines_agree
from hte_bridge.table import Estimate, Table

META = {"names": {"outcome": "y", "treatment": "d"}}


def rows(values, estimand="ate"):
    return [
        Estimate(estimand, estimate, error, engine=name)
        for name, (estimate, error) in zip("abc", values, strict=False)
    ]


EFFECTS = {
    "both above": (
        [(1.0, 0.1), (2.0, 0.5)],
        "There is an effect: on average `d` raises `y`",
        "(ATE 1.00 [0.80, 1.20] (a)",
    ),
    "below": ([(-1.0, 0.1)], "There is an effect: on average `d` lowers `y`", "no interval holds zero"),
    "none": ([(0.1, 0.1), (0.0, 0.1)], "cannot be told: every interval holds zero", "`d` changes `y`"),
    "some": ([(1.0, 0.1), (0.1, 1.0)], "cannot be told: the intervals of some engines hold zero", ""),
    "contradiction": ([(1.0, 0.1), (-1.0, 0.1)], "engines contradict each other", "raises or lowers"),
    "no interval": ([(1.0, np.nan)], "cannot be told: ATE 1", "no interval that can be defended"),
    "touching": ([(0.196, 0.1)], "There is an effect", ""),
}


@pytest.mark.parametrize(("values", "said", "too"), EFFECTS.values(), ids=EFFECTS)
def test_there_is_an_effect_only_where_no_interval_holds_zero(values, said, too):
    made = effect(Table(tuple(rows(values)), META))
    if said == "There is an effect" and not too:  # 1.96 errors are 0.19600 and a little less
        said = "There is an effect" if Estimate("ate", *values[0]).conf_low > 0 else "cannot be told"
    assert said in made
    assert too in made
    assert ("There is an effect" in made) == ("cannot be told" not in made)


def test_without_an_average_nothing_is_claimed():
    assert "cannot tell" in effect(Table((Estimate.missing("ate", "no overlap", engine="a"),), META))
    assert answer(Table((Estimate("surprise", 1.0),)))[0].startswith("Whether there is an effect")


def joint(p, engine="a"):
    return Estimate.missing("projection", "score test", term="joint", engine=engine, test=(3.0, p))


def slope(term, estimate, error, engine="a"):
    return Estimate("projection", estimate, error, term=term, engine=engine)


STRONG = [
    slope("age", 1.0, 0.1),
    slope("income", 0.2, 0.1),
    slope("x", 0.0, 0.1),
    slope("(Intercept)", 9.0, 0.1),
]
DIFFERS = {
    "found": ([joint(0.001), *STRONG], "The effect differs between units", "it is larger where `age` is larger", True),
    "not found": ([joint(0.2), *STRONG], "is not found (joint test of all slopes, p = 0.200 (a))", "no proof", False),
    "disagree": ([joint(0.2), joint(0.001, "b"), *STRONG], "cannot be told: engines' tests disagree", "", False),
    "untested": (STRONG, "this table does not test", "nobody is said to gain more", False),
    "none stands out": ([joint(0.01), slope("income", 0.2, 0.1), slope("age", 0.2, 0.1)], "differs", "no single covariate", False),
    "signs of engines differ": (
        [joint(0.01), joint(0.01, "b"), slope("age", 1.0, 0.1), slope("age", -1.0, 0.1, "b")],
        "differs",
        "no single covariate",
        False,
    ),
    "groups": ([Estimate.missing("gate", "F", term="equal", engine="a", test=(9.0, 1e-5))], "p = below 0.001 (a)", "", False),
}  # fmt: skip


@pytest.mark.parametrize(("given", "said", "too", "ranked"), DIFFERS.values(), ids=DIFFERS)
def test_nobody_is_ranked_where_no_heterogeneity_is_found(given, said, too, ranked):
    made = differs(given)
    assert said in made
    assert too in made
    assert ("larger where" in made) == ranked
    assert "income" not in made  # 2 errors from zero, but one of several slopes


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"x": rng.normal(size=200), "d": rng.integers(0, 2, 200), "town": rng.choice(list("ab"), 200)}
    )
    frame["y"], frame["g"] = frame["d"] * (1 + frame["x"]) + rng.normal(size=200), np.arange(200) // 4
    made = tmp_path_factory.mktemp("data") / "my data.csv"
    frame.to_csv(made, index=False)
    return made


def test_the_code_on_the_page_makes_the_table_again(path, tmp_path, capsys):
    study = hb.Study.from_frame(path, outcome="y", treatment="d", covariates=["x", "town"], cluster="g")
    table = hb.compare(study, [hb.Feols(), hb.Feols(label="second", seed=3)], level=0.9, seed=4, n_folds=3)
    page = table.report(tmp_path / "r.html").read_text(encoding="utf8")
    assert "my data.csv" in page
    found = {}
    exec(table.meta["code"], found)
    pd.testing.assert_frame_equal(found["table"].to_frame(), table.to_frame(), check_exact=True)
    # what later verbs would take is measured, and said from two seconds on: a busy machine reaches them
    untimed = lambda text: re.sub(r"^To come: .*?(?=^\S)", "", text, flags=re.MULTILINE | re.DOTALL)
    assert untimed(capsys.readouterr().out.strip()) == untimed(str(table))
    assert len(answer(table)) == 3
    assert answer(table)[1].startswith("The effect differs between units")
    assert "(second)" in answer(table)[0]


def test_engines_are_compared_by_their_paired_differences(path):
    study = hb.Study.from_frame(path, outcome="y", treatment="d", covariates=["x", "town"])
    columns = {"cate": np.zeros(200), "outcome_mean": np.zeros(200), "propensity": np.full(200, 0.2)}
    off = hb.Given(columns, name="off", held_out=True)
    table = hb.compare(study, [hb.Feols(), off], seed=4)
    assert engines_agree(table).startswith("Engines disagree by more than chance: off - feols is")
    alike = hb.compare(study, [hb.Feols(), hb.Feols(label="second", seed=3)], seed=4)
    assert "cannot test" in engines_agree(Table(alike.rows, alike.meta))
    assert engines_agree(Table(alike.rows[:1])) == ""


def test_data_without_a_path_have_a_place_for_it(path):
    study = hb.Study.from_frame(
        pd.read_csv(path), outcome="y", treatment="d", covariates=["x"], propensity=0.5
    )
    code = hb.compare(study, [hb.Feols()]).meta["code"]
    assert "# data.parquet stands for the file of your data" in code
    assert "propensity=0.5" in code or "propensity=..." in code
