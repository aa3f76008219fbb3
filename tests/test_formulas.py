"""Right-hand sides: coded as formulaic codes them, computed by our own grammar, and nothing that runs."""

import os
import re
import time

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix

import hte_bridge as hb
from hte_bridge.errors import InvalidOption
from hte_bridge.language.expression import condition
from hte_bridge.language.formula import right_hand_side

N = 60
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": RNG.normal(size=N),
        "age": RNG.integers(18, 80, N),
        "town": RNG.choice(list("abc"), N),
        "yes": RNG.random(N) > 0.5,
        "my col": RNG.normal(size=N),
        "k": RNG.integers(0, 3, N),
    }
)
FRAME["school"] = pd.Categorical(FRAME["town"], ordered=True)

AS_FORMULAIC = [
    "x",
    "x + z + x",
    "~ x + C(town)",
    "1 + x",
    "x*z",
    "x:z",
    "(x + z + age)^2",
    "(x + z)**3",
    "x/z",
    "(x + town)/z",
    "x %in% town",
    "(x + z + town)**2 - x:town - z",
    "town*x",
    "x + town:z",
    "x:town:z",
    "C(town):poly(x, 2)",
    "school*yes",
    "poly(x, 2)",
    "poly(age, degree=2, raw=True)",
    "poly(log(age), 2)",
    "bs(x, df=4)",
    "bs(x, knots=[-0.5, 0.5], degree=2)",
    "cr(x, df=4)",
    "cc(x, df=4)",
    "scale(x) + center(z) + standardize(age)",
    "scale(x, ddof=0)",
    "C(town, contr.sum)",
    "C(town, contr.treatment('b'))",
    "C(town, contr.treatment(base='b'))",
    "C(town, Treatment('b')):x",
    "C(town, contr.helmert)",
    "C(town, contr.poly)",
    "C(town, levels=['b', 'a', 'c'])",
    "C(k)",
    "C(k, contr.treatment(base=1))",
    "C(age > 30)",
    "C(age // 10)",
    "I(x > 0)",
    "I((x > 0) * z)",
    "I(x**2) + I(x / age)",
    "{x**2} + z",
    "I(scale(x)**2)",
    "log(age) + np.log1p(age) + exp(x) + np.abs(z)",
    "`my col` + I(`my col` * 2)",
    "Q('my col')",
    "yes:x",
    "age + I(age % 2)",
]


@pytest.mark.parametrize("formula", AS_FORMULAIC)
def test_columns_and_names_are_formulaics(formula):
    values, names = right_hand_side(formula, FRAME)
    oracle = model_matrix(formula.lstrip("~ "), FRAME, na_action="ignore")
    assert names == [str(name) for name in oracle.columns if name != "Intercept"]
    np.testing.assert_allclose(values, np.asarray(oracle, dtype=float)[:, 1:], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["int8", "Int8", "int8[pyarrow]", "uint8", "int16", "Int64", "float32"])
@pytest.mark.parametrize("formula", ["b + I(b**2)", "poly(b, 2)", "b*x", "I(b * b * b)", "scale(b)", "I(-b)"])
def test_small_numbers_do_not_overflow(kind, formula):
    wide = FRAME.assign(b=FRAME["age"].astype(np.float64))
    narrow = FRAME.assign(b=FRAME["age"].astype(kind))
    np.testing.assert_array_equal(right_hand_side(formula, narrow)[0], right_hand_side(formula, wide)[0])


def test_fixests_dummies_are_levels_with_a_reference():
    names = right_hand_side("i(town) + i(k, ref=1)", FRAME)[1]
    base = "C(k, contr.treatment(base=1))"
    assert names == ["C(town)[T.b]", "C(town)[T.c]", f"{base}[T.0]", f"{base}[T.2]"]
    np.testing.assert_array_equal(
        right_hand_side("i(town, ref='b')", FRAME)[0],
        right_hand_side("C(town, contr.treatment('b'))", FRAME)[0],
    )


def test_levels_that_no_unit_has_make_no_column():
    frame = FRAME.assign(town=pd.Categorical(FRAME["town"], categories=list("zabc")))
    assert right_hand_side("town", frame)[1] == ["town[T.b]", "town[T.c]"]


def test_columns_may_have_any_name():
    frame = FRAME.rename(columns={"x": "Intercept", "z": "1", "age": "log(k)"}).assign(v0=1.5 * FRAME["x"])
    values, names = right_hand_side("Intercept + `1` + `log(k)` + log(k + 1) + v0 + I(v0**2)", frame)
    assert names[0] == "Intercept"
    assert len(names) == len(set(names)) == 6
    expected = [FRAME["x"], FRAME["z"], FRAME["age"], np.log(FRAME["k"] + 1), frame["v0"], frame["v0"] ** 2]
    np.testing.assert_allclose(values, np.column_stack(expected))


REFUSED = {
    "": "The text is empty",
    "1": "names no column",
    "0": "takes the intercept out",
    "x - 1": "takes the intercept out",
    "0 + x": "takes the intercept out",
    "-1 + x": "takes the intercept out",
    "y ~ x": "has a left side",
    "x ~ z": "has a left side",
    "x +": "ends too early",
    "x z": "cannot be read from `z` on",
    "x | z": "cannot be read from `|` on",
    "x > 0": "what is computed stands in I(...)",
    "(x + z": "check its parentheses",
    "I(x": "check its parentheses",
    "I(x]": "check its parentheses",
    "x^y": "no whole number from 1 to 10",
    "x^99": "no whole number from 1 to 10",
    "2*x": "holds the number 2",
    "nope": "`nope` is not one of the columns",
    "log(nope)": "`nope` is not one of the columns",
    "lag(x)": "`lag` is not one of the functions",
    "I(x^2)": "a power is written `**`",
    "I(x, z)": "must be given one argument",
    "I('a')": "names no column",
    "poly(2, 2)": "names no column",
    "poly(town, 2)": "computes with text",
    "poly(x, z)": "has an argument `z`",
    "poly(x, 2, 3, 4)": "cannot be made",
    "poly(x, 10000000)": "at most 1,000 are made",
    "bs(x, df=2)": "cannot be made",
    "bs(x, df=10**9)": "has an argument `**`",
    "bs(x, lower_bound=0)": "cannot be made",
    "i(town, x)": "a product with another column is written C(town):x",
    "C(town, contr.nope)": "has contrasts that are none of",
    "C(town, contr.treatment(base='q'))": "cannot be made",
    "C(town, levels=['a', 'b'])": "is given levels without 'c'",
    "C(town, x=1)": "may be given contrasts, levels and spans_intercept",
    "C(x):C(z)": "makes 3,481 columns or more of 60 rows",
    "day": "computes with dates",
    "C(day)": "holds dates",
    "gap": "`gap` has no value in 2 of 60 rows, the first of them row 3",
    "i(hole)": "`i(hole)` has no value in 1 of 60 rows, the first of them row 7",
    "hole:x": "`hole` has no value",
    "I(gap > 0)": "has no value in 2 of 60 rows",
    "poly(gap, 2)": "has no value in 2 of 60 rows",
    # what would run, were it run
    "{x.to_csv('made')}": "asks for an attribute",
    "{open('made', 'w')}": "`open` is not one of the functions",
    "{__import__('os').mkdir('made')}": "asks for an attribute",
    "C(x.to_csv('made'))": "asks for an attribute",
    "I(x.to_csv('made'))": "asks for an attribute",
    "poly(x.to_csv('made'), 2)": "asks for an attribute",
    "poly(x, open('made', 'w'))": "has an argument `open`",
    "C(town, open('made', 'w'))": "has contrasts that are none of",
    "C(town, contr.treatment(open('made', 'w')))": "has an argument `open`",
    "C(town, contr.treatment.__init__('made'))": "has contrasts that are none of",
    "C(town, levels=open('made', 'w'))": "has an argument `open`",
    "np.save('made', x)": "`np.save` is not one of the functions",
    "np.lib.npyio.save('made', x)": "cannot be read from `.` on",
    "np.load('made')": "`np.load` is not one of the functions",
    "x.to_csv('made')": "cannot be read from `.` on",
    "log(x.to_csv('made'))": "asks for an attribute",
    "Q('x'.upper())": "asks for an attribute",
    "Q(__import__('os'))": "is not one of the functions",
    "I([open('made', 'w') for _ in x])": "square brackets with something else",
    "I((lambda: open('made', 'w'))())": "holds `:`",
    "I(y := x)": "holds `:`",
    'I(f\'{open("made", "w")}\' == town)': "cannot be read",
    "{{x}}": "holds braces",
    "`x.to_csv('made')`": "is not one of the columns",
    "`__import__('os')`": "is not one of the columns",
    "__FORMULAIC_CONTEXT__": "is not one of the columns",
    "contr": "is not one of the columns",
    "hashed(town, levels=3)": "assignment",
    "@x": "holds `@`",
    "x; z": "cannot be read from `;` on",
    "I(x) # z": "cannot be read from `#` on",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_is_no_right_hand_side_is_refused_and_runs_nothing(formula, tmp_path, monkeypatch):
    frame = FRAME.assign(
        gap=FRAME["x"].where(~FRAME.index.isin([3, 9])),
        hole=FRAME["town"].where(FRAME.index != 7),
        day=pd.Timestamp("2020-01-01"),
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption) as said:
        right_hand_side(formula, frame)
    assert str(said.value).startswith("`formula` must be a right-hand side such as")
    assert REFUSED[formula] in str(said.value)
    assert os.listdir(tmp_path) == []


HOSTILE = {
    "a power of many": "(" + " + ".join(f"I(x + {k})" for k in range(60)) + ")^10",
    "a product of many": " * ".join(f"I(x + {k})" for k in range(40)),
    "parentheses": "(" * 40_000 + "x" + ")" * 40_000,
    "calls": "log(" * 15_000 + "x" + ")" * 15_000,
    "powers in I": "I(" + "**".join(["x"] * 20_000) + ")",
    "a megabyte": "x + " * 250_000,
    "minus": "-" * 90_000 + "x",
    "commas": "C(town" + "," * 90_000 + ")",
    "lists": "bs(x, knots=" + "[" * 40_000 + "]" * 40_000 + ")",
}


@pytest.mark.parametrize("formula", HOSTILE.values(), ids=HOSTILE)
def test_no_formula_hangs_the_process_or_ends_it(formula):
    began = time.perf_counter()
    with pytest.raises(InvalidOption, match="`formula` must be a right-hand side"):
        right_hand_side(formula, FRAME)
    assert time.perf_counter() - began < 5


def test_a_value_that_is_not_finite_is_a_sentence():
    with pytest.raises(ValueError, match=re.escape("rows do, in `log(k)`")):
        right_hand_side("z + log(k)", FRAME)


def test_a_condition_and_a_factor_have_the_same_value():
    for text in ("x > 0", "age % 2 == 1 and yes", "town in ['a', 'b'] or x < -1"):
        np.testing.assert_array_equal(
            right_hand_side(f"I({text})", FRAME)[0][:, 0], condition(text, FRAME).yes
        )


def test_formulas_of_a_table_are_read_in_the_same_way():
    frame = FRAME.assign(d=np.arange(N) % 2, y=RNG.normal(size=N), b=FRAME["age"].astype("int8"))
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], propensity=0.5)
    table = hb.compare(study, [hb.Feols(plain=False)], seed=1)
    one, other = table.projection("b + I(b**2)").to_frame(), table.projection("age + I(age**2)").to_frame()
    np.testing.assert_array_equal(one[["estimate", "std_error"]], other[["estimate", "std_error"]])
    with pytest.raises(InvalidOption, match="asks for an attribute"):
        table.projection("{x.to_csv('made')}")
