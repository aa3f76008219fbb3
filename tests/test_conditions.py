"""Conditions are read by a grammar of our own: right values, unknowns that are neither in nor out, and nothing that runs."""

import datetime as dt
import decimal
import os
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import hte_bridge as hb
from hte_bridge.errors import InvalidData, InvalidOption
from hte_bridge.language.expression import condition
from hte_bridge.language.grammar import LONGEST

BIG = 2**53
DAYS = [dt.date(2020, 1, 1), None, dt.date(2021, 1, 1), dt.date(1999, 1, 1)]
FRAME = pd.DataFrame(
    {
        "i8": np.array([100, -128, 5, 127], dtype="int8"),
        "u8": np.array([200, 1, 2, 255], dtype="uint8"),
        "f16": np.array([6e4, 1, np.nan, 0.1], dtype="float16"),
        "f32": np.array([0.1, 0.2, np.nan, 3], dtype="float32"),
        "x": [1.5, np.nan, -2.0, 4.0],
        "I8": pd.array([1, None, 3, 100], dtype="Int8"),
        "F": pd.array([1.5, None, 3, 4], dtype="Float32"),
        "ai": pd.array([1, None, 3, 100], dtype="int8[pyarrow]"),
        "yes": [True, False, True, False],
        "maybe": pd.array([True, None, False, True], dtype="boolean"),
        "perhaps": [True, None, False, True],
        "id": [BIG, BIG + 1, BIG + 2, 0],
        "u64": np.array([2**64 - 1, 2**63, 0, 1], dtype="uint64"),
        "iid": pd.array([BIG + 1, None, BIG, 0], dtype="Int64"),
        "town": ["a", "b", None, "c"],
        "arrow": pd.array(["a", "b", None, "c"], dtype="string[pyarrow]"),
        "code": ["10", "9", None, "5"],
        "school": pd.Categorical(["lo", "hi", None, "mid"], categories=["lo", "mid", "hi"], ordered=True),
        "kind": pd.Categorical(["u", "v", None, "u"]),
        "grade": pd.Categorical([3, 1, None, 2]),
        "day": pd.to_datetime(["2020-01-01", "2021-06-01", None, "1999-01-01"]),
        "zoned": pd.to_datetime(["2020-01-01", "2021-06-01", None, "1999-01-01"]).tz_localize(
            "Europe/Berlin"
        ),
        "dates": DAYS,
        "adates": pd.array(DAYS, dtype=pd.ArrowDtype(pa.date32())),
        "price": [decimal.Decimal("0.1"), None, decimal.Decimal(2), decimal.Decimal(3)],
        "my col": [0, 1, 2, 3],
        "class": [0, 1, 2, 3],
        "ſ": [0, 1, 2, 3],
        "mix": [1, "a", None, 2],
        7: [0, 1, 2, 3],
    }
)
RIGHT = {  # condition -> rows in, rows unknown
    # small integers are computed with as numbers, and narrow floats compared as the file holds them
    "i8 * 2 > 150": ([0, 3], []),
    "i8 - 100 < -100": ([1], []),
    "-i8 > 100": ([1], []),
    "abs(i8) > 127": ([1], []),
    "u8 - 201 < 0": ([0, 1, 2], []),
    "i8 * u8 > 20000": ([3], []),
    "f16 * 2 > 1e5": ([0], [2]),
    "f16 == 0.1": ([3], [2]),
    "f32 in [0.1, 0.2]": ([0, 1], [2]),
    "I8 * 2 > 150": ([3], [1]),
    "ai * 2 > 150": ([3], [1]),
    # whole numbers beyond 2^53 are compared exactly
    "id == 9007199254740993": ([1], []),
    "id in [9007199254740993, 0]": ([1, 3], []),
    "id > 9007199254740992": ([1, 2], []),
    "u64 == 18446744073709551615": ([0], []),
    "iid == 9007199254740993": ([0], [1]),
    "id == iid": ([3], [1]),
    # what is unknown is neither in nor out
    "x > 0": ([0, 3], [1]),
    "not (x > 0)": ([2], [1]),
    "x != 4": ([0, 2], [1]),
    "x not in [4]": ([0, 2], [1]),
    "I8 > 2": ([2, 3], [1]),
    "~(I8 > 2)": ([0], [1]),
    "F != 3": ([0, 3], [1]),
    "I8 ** 0 == 1": ([0, 2, 3], [1]),
    "x > 0 or i8 < 0": ([0, 1, 3], []),
    "x > 0 or i8 > 0": ([0, 2, 3], [1]),
    "x > 0 and i8 > 0": ([0, 3], []),
    "log(i8) > 0": ([0, 2, 3], [1]),
    "maybe": ([0, 3], [1]),
    "not maybe": ([2], [1]),
    "perhaps": ([0, 3], [1]),
    "maybe == False": ([2], [1]),
    "isna(x)": ([1], []),
    "notna(town) and x < 0": ([], [1]),
    "x is None or x > 2": ([1, 3], []),
    "x is not None": ([0, 2, 3], []),
    # text, levels, dates
    "town == 'a'": ([0], [2]),
    "town != 'a'": ([1, 3], [2]),
    "town in ['a', 'c']": ([0, 3], [2]),
    'town not in ("a",)': ([1, 3], [2]),
    "town > 'a'": ([1, 3], [2]),
    "arrow == 'b'": ([1], [2]),
    "town == arrow": ([0, 1, 3], [2]),
    "school > 'lo'": ([1, 3], [2]),
    "'lo' <= school < 'hi'": ([0, 3], [2]),
    "school in ['lo', 'hi']": ([0, 1], [2]),
    "kind == 'u'": ([0, 3], [2]),
    "grade == 3": ([0], [2]),
    "day > '2020-01-01'": ([1], [2]),
    "'2019-12-31' < day <= '2021-06-01'": ([0, 1], [2]),
    "day in ['2020-01-01', '1999-01-01']": ([0, 3], [2]),
    "zoned >= '2020-01-01'": ([0, 1], [2]),
    "zoned > '2020-01-01T00:00:00+00:00'": ([1], [2]),
    "dates > '2020-01-01'": ([2], [1]),
    "adates > '2020-01-01'": ([2], [1]),
    "dates == adates": ([0, 2, 3], [1]),
    "price == 0.1": ([0], [1]),
    # names, precedence, functions
    "`my col` > 1": ([2, 3], []),
    "`7` > 1": ([2, 3], []),
    "class > 1": ([2, 3], []),
    "ſ > 1": ([2, 3], []),
    "yes & i8 > 50": ([0], []),
    "(yes) | (i8 > 120)": ([0, 2, 3], []),
    "0 < i8 < 120": ([0, 2], []),
    "i8 % 2 == 1": ([2, 3], []),
    "i8 // 10 == 10": ([0], []),
    "yes + (i8 > 50) == 2": ([0], []),
    "np.log(i8) > 4.7": ([3], [1]),
    "maximum(i8, u8, 150) == 150": ([1, 2], []),
    "round(x, 0) == 2": ([0], [1]),
    "9**9**9**9 > i8": ([0, 1, 2, 3], []),
    "i8 > 0 and\n    yes": ([0, 2], []),
}


@pytest.mark.parametrize("text", RIGHT)
def test_a_condition_has_the_value_that_it_says(text):
    found = condition(text, FRAME)
    assert (np.flatnonzero(found.yes).tolist(), np.flatnonzero(found.missing).tolist()) == RIGHT[text]


REFUSED = {  # what no rows could be given for: the part of the sentence that says why
    "": "The text is empty",
    "  ": "The text is empty",
    "1": "`1` holds numbers and is no condition",
    "x": "`x` holds numbers and is no condition",
    "town": "`town` holds text and is no condition",
    "True": "`True` names no column",
    "1 < 2": "`1 < 2` names no column",
    "x > 'a'": "`x > 'a'` compares numbers with text",
    "x == '1'": "compares numbers with text",
    "town == 1": "compares text with numbers",
    "x > 0 and i8": "`i8` holds numbers and is no condition",
    "x ==": "cannot be read",
    "nope > 1": "`nope` is not one of the columns",
    "ｘ > 1": "`ｘ` is not one of the columns",  # full width: another name for Python's parser, not for us
    "index > 1": "`index` is not one of the columns",
    "town > 'a' > 1": "compares text with numbers",
    "code > '5'": "numbers written as text",
    "kind > 'u'": "the order of a category that has none",
    "school > 'top'": "asks for the rank of 'top', which is none of the levels 'lo', 'mid', 'hi'",
    "school < kind": "compares categories of different levels",
    "day > 2020": "compares dates with numbers",
    "day > 'soon'": "compares dates with 'soon'",
    "day > zoned": "dates of a time zone with dates of none",
    "day + 1 > 2": "computes with dates",
    "town + 'a' == 'aa'": "computes with text",
    "log(school) > 0": "computes with levels",
    "mix > 1": "`mix` holds values of type int",
    "id % 2 == 0": "whole numbers beyond 2^53",
    "id - u64 == 0": "whole numbers beyond 2^53",
    "x == None": "ask isna(x)",
    "x in [1, None]": "ask isna(x)",
    "x in []": "an empty list",
    "x in [1, 'a']": "a list of several kinds",
    "x in [i8]": "square brackets with something else than numbers or text",
    "town in 'abc'": "something that is no list",
    "town == ['a', 'b']": "a list outside of `in`",
    "x > 1e999": "a number beyond 1e308",
    "log(x, 2) > 1": "must be given one argument",
    "x and yes": "`x` holds numbers",
    "x = 3": "holds an assignment",
    "x <> 2": "cannot be read",
    # what would run, were it run
    "x.to_csv('made') == 0": "asks for an attribute",
    "x.map(print) == 0": "asks for an attribute",
    "x.__class__ == 1": "asks for an attribute",
    "town.str.len() > 0": "asks for an attribute",
    "x .__class__.__bases__[0].__subclasses__() == 0": "asks for an attribute",
    "@os": "names a variable of Python",
    "@pd.read_pickle('made')": "names a variable of Python",
    "@__builtins__": "names a variable of Python",
    "x.pipe(@print)": "asks for an attribute",
    "open('made', 'w')": "`open` is not one of the functions",
    "open('made', 'w') == 0": "`open` is not one of the functions",
    "__import__('os').mkdir('made')": "asks for an attribute",
    "__import__('os') == 0": "`__import__` is not one of the functions",
    "eval('x') > 0": "`eval` is not one of the functions",
    "np.load('made') > 0": "`np.load` is not one of the functions",
    "np.memmap('made', 'u1', 'w+') > 0": "`np.memmap` is not one of the functions",
    "numpy.lib.npyio.save('made', x)": "asks for an attribute",
    "np.pi < x": "asks for an attribute",
    "(lambda: open('made', 'w'))() == 0": "holds `:`",
    "lambda: x": "holds `:`",
    "[open('made', 'w') for _ in x]": "square brackets with something else",
    "(open('made', 'w') for _ in x)": "cannot be read",
    "{open('made', 'w')}": "holds braces",
    "(y := x) > 0": "holds `:`",
    "x if open('made', 'w') else x": "cannot be read",
    'f\'{open("made", "w")}\' == town': "cannot be read",
    "town == f'{x}'": "cannot be read",
    "b'a' == town": "cannot be read",
    "x[0] > 1": "asks for a part by square brackets",
    "x['a'] > 1": "asks for a part by square brackets",
    "log(*x) > 0": "by place",
    "log(**x) > 0": "by place",
    "log(x=x) > 0": "holds an assignment",
    "x; import os": "holds several statements",
    "x > 0 # import os": "holds `#`",
    "import os": "cannot be read",
    "await x": "cannot be read",
    "x > 0\\\n": "holds `\\`",
    "`__import__('os').mkdir('made')` > 1": "is not one of the columns",
    "`x.to_csv('made')` == 0": "is not one of the columns",
    "v0 > 1": "`v0` is not one of the columns",
    "town == '\\x41'": "holds a backslash in text",
    "x > 0\x00": "holds `\x00`",
    "!x": "holds `!`",
    "$x > 1": "holds `$`",
    "abs > 1": "`abs` is not one of the columns",
    "isna > 1": "`isna` is not one of the columns",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_condition_is_refused_and_runs_nothing(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption) as said:
        condition(text, FRAME)
    assert str(said.value).startswith("`where` must be a condition such as")
    assert REFUSED[text] in str(said.value)
    assert os.listdir(tmp_path) == []


HOSTILE = {
    "signs": "-" * 90_000 + "x",
    "nots": "not " * 20_000 + "yes",
    "tildes": "~" * 900 + "yes",
    "parentheses": "(" * 50_000 + "x" + ")" * 50_000,
    "few parentheses": "(" * 450 + "x" + ")" * 450 + " > 1",
    "powers": "**".join(["x"] * 30_000),
    "signs in a list": "x in [" + "-" * 90_000 + "1]",
    "lists in lists": "x in " + "[" * 40_000 + "]" * 40_000,
    "a long sum": "x" + " + x" * 490 + " > 1",
    "a megabyte": "x" * 10**6,
    "digits": "x > " + "1" * 5_000,
    "quotes": "'" * 50_001,
    "backticks": "`" * 50_001,
    "functions": "log(" * 200 + "x" + ")" * 200 + " > 1",
    "one too many": "x > 1" + " " * LONGEST,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_hangs_the_process_or_ends_it(text):
    began = time.perf_counter()
    with pytest.raises(InvalidOption, match="`where` must be a condition") as said:
        condition(text, FRAME)
    assert time.perf_counter() - began < 5
    assert len(str(said.value)) < 500


def test_long_lists_are_read():
    assert condition(f"i8 in {list(range(15_000))}", FRAME).yes.tolist() == [True, False, True, True]


def study_of(n=300):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n)})
    frame["age"] = np.where(rng.random(n) < 0.1, np.nan, rng.integers(18, 80, n))
    frame["y"] = frame["d"] + rng.normal(size=n)
    return hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=["x"], propensity=0.5)


@pytest.fixture(scope="module")
def table():
    return hb.compare(study_of(), [hb.Feols(plain=False)], seed=1)


def test_rows_say_how_many_units_are_unknown(table):
    age = table.study.frame["age"]
    gone = int(age.isna().sum())
    for text, right in (
        ("age > 30", age > 30),
        ("not (age > 30)", age <= 30),
        ("age != 30", age.notna() & (age != 30)),
    ):
        row = table.average(where=text).rows[0]
        mask = table.average(where=right.to_numpy()).rows[0]
        assert row.note == f"{gone} rows whose condition is unknown are in neither"
        assert (row.n_obs, row.estimate, row.std_error) == (int(right.sum()), mask.estimate, mask.std_error)
        assert row.term == text


def test_a_condition_that_no_unit_satisfies_is_a_sentence(table):
    with pytest.raises(InvalidData, match=r"None of 300 satisfies it, and of \d+ it is unknown"):
        table.average(where="age > 200")


def test_a_condition_needs_a_frame(table):
    bare = hb.compare(study_of().with_(frame=None), [hb.Feols(plain=False)], seed=1)
    with pytest.raises(InvalidOption, match="A condition needs a study made by"):
        bare.average(where="age > 30")
