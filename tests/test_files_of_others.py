"""Files of other programs by path: what stands between columns and in numbers is found and said, labels of Stata and SPSS are kept."""

import gzip

import numpy as np
import pandas as pd
import pytest

import hte_bridge as hb
from hte_bridge.errors import PackageUnavailable, UnreadableFile
from hte_bridge.frames import to_pandas
from hte_bridge.reading import separator

FRAME = pd.DataFrame(
    {
        "y": [1.5, -2.25, 1234.5, 0.125] * 15,
        "d": [0, 1, 1, 0] * 15,
        "x": np.arange(60) / 8,
        "name, first": ["Ann; B", "C, D", 'say "x"', "E|F"] * 15,
        "n": range(60),
    }
)
LOOKS = {
    "semicolon": {"sep": ";", "decimal": ","},
    "tab": {"sep": "\t", "decimal": ","},
    "tab and points": {"sep": "\t"},
    "bar": {"sep": "|"},
    "comma": {},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_the_same_frame_comes_from_every_look_of_a_file(look, ending, tmp_path):
    path = tmp_path / f"t.{ending}"
    FRAME.to_csv(path, index=False, **look)
    assert separator(path) == look.get("sep", ",")
    pd.testing.assert_frame_equal(to_pandas(path), FRAME, check_exact=True)


def test_what_was_taken_is_said_by_the_study_and_its_table(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    study = hb.Study.from_frame(tmp_path / "t.csv", outcome="y", treatment="d", covariates=["x"])
    assert study.notes[
        0
    ] == "`t.csv` was read with a semicolon between columns and decimal commas in y and x".replace(
        " and x", ", x"
    )
    assert "decimal commas in y, x" in " ".join(str(hb.compare(study, [hb.Feols()], n_folds=2)).split())
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    plain = hb.Study.from_frame(tmp_path / "t.csv", outcome="y", treatment="d", covariates=["x"])
    assert plain.notes == ()


def test_thousands_gaps_and_codes_beside_decimal_commas(tmp_path):
    lines = ["a;b;c;code;text", "1.234,5;NA;2;01;1,5", "-0,5;7,25;3;02;x", ",5;;4;03;2,5"]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf8")
    found = to_pandas(tmp_path / "t.csv")
    assert found["a"].tolist() == [1234.5, -0.5, 0.5]
    assert found["b"].tolist()[1] == 7.25
    assert found["b"].isna().tolist() == [True, False, True]
    assert found["c"].tolist() == [2, 3, 4]
    assert found["code"].tolist() == ["01", "02", "03"]
    assert found["text"].tolist() == ["1,5", "x", "2,5"]


def test_commas_win_where_both_would_do_and_one_column_needs_none(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b;c\n1,2;3\n4,5;6\n", encoding="utf8")
    assert separator(path) == ","
    path.write_text("a\n1\n2\n", encoding="utf8")
    assert to_pandas(path)["a"].tolist() == [1, 2]
    with gzip.open(tmp_path / "t.tsv.gz", "wt") as file:
        file.write("a\tb\n1\t2\n")
    assert to_pandas(tmp_path / "t.tsv.gz")["b"].tolist() == [2]


LABELS = {
    "sex": {1: "man", 2: "woman", 3: "other"},
    "income": {-9: "refused"},
    "size": {0: "small", 1: "large"},
}


def labelled_frame():
    return pd.DataFrame(
        {"sex": [1, 2, 2, 1], "income": [-9, 100, 200, 300], "size": [0, 1, 1, 0], "x": [0.5, np.nan, 1, 2]}
    )


def check(found):
    assert found["sex"].tolist() == ["man", "woman", "woman", "man"]
    assert list(found["sex"].cat.categories) == ["man", "woman"]
    assert not found["sex"].cat.ordered
    assert found["size"].tolist() == ["small", "large", "large", "small"]
    assert found["income"].tolist() == [-9, 100, 200, 300]  # numbers, of which one has a label
    assert "income (-9 = refused)" in found.attrs["hte_bridge_taken"]
    assert found.attrs["labels"]["sex"] == "Sex of head"


def test_labels_of_a_stata_file_are_kept_and_numbers_stay_numbers(tmp_path):
    options = {
        "value_labels": LABELS,
        "variable_labels": {"sex": "Sex of head"},
        "write_index": False,
        "version": 118,
    }
    labelled_frame().to_stata(tmp_path / "t.dta", **options)
    check(to_pandas(tmp_path / "t.dta"))
    twice = {"sex": {1: "same", 2: "same"}}
    labelled_frame().to_stata(tmp_path / "u.dta", value_labels=twice, write_index=False)
    assert to_pandas(tmp_path / "u.dta")["sex"].tolist() == ["same (1)", "same (2)", "same (2)", "same (1)"]


def test_labels_of_an_spss_file_are_kept(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat")
    options = {"variable_value_labels": LABELS, "column_labels": {"sex": "Sex of head"}}
    pyreadstat.write_sav(labelled_frame(), str(tmp_path / "t.sav"), **options)
    check(to_pandas(tmp_path / "t.sav"))
    (tmp_path / "broken.sav").write_bytes(b"no such file")
    with pytest.raises(UnreadableFile, match="SPSS"):
        to_pandas(tmp_path / "broken.sav")


def test_without_pyreadstat_a_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyreadstat", None)
    (tmp_path / "t.sav").write_bytes(b"$FL2")
    with pytest.raises(PackageUnavailable, match=r"pip install 'hte-bridge\[spss\]'"):
        to_pandas(tmp_path / "t.sav")
