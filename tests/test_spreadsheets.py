"""CSV comes back to the last bit, Excel holds the rows and their notes, and what is not written here is said."""

import numpy as np
import pandas as pd
import pytest

from hte_bridge import spreadsheets
from hte_bridge.errors import InvalidOption, PackageUnavailable, UnreadableFile
from hte_bridge.table import Estimate, Table

DIGITS = 1e-15  # what Excel keeps of a number
ROWS = (
    Estimate(
        "ate", 0.1 + 0.2, 1 / 3, engine="grf", df=118, vcov="CRV1 (village)", n_obs=2825, n_clusters=119
    ),
    Estimate(
        "gate", 1.0, 0.5, term="=cmd", engine="deep", interval=(-0.5, 2.0), note='a "band", joint\nover 5'
    ),
    Estimate("gate", 1e-300, 5e-301, term="'t is ünïcode", level=0.9),
    Estimate("coverage", 0.9, 0.1, test=(np.nan, np.nan), interval=(np.nan, np.nan)),
    Estimate.missing("projection", "F test", term="joint\r", test=(3.2, 0.04)),
    Estimate.missing("att", "no overlap; -1 + 1", engine="@grf"),
    Estimate("policy", 2.0, note="no theory"),
)
TABLE = Table(ROWS, {"n": 2825, "seed": 1, "warnings": ["overlap is weak"]})


def test_csv_loads_again_to_the_last_bit(tmp_path):
    loaded = Table.load(TABLE.save(tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(loaded.to_frame(), TABLE.to_frame(), check_exact=True)
    assert [row.at_level(0.5).conf_low for row in loaded.rows[:1]] == [ROWS[0].at_level(0.5).conf_low]
    assert Table.load(loaded.save(tmp_path / "again.csv")).to_frame().equals(loaded.to_frame())
    assert "No overlap; -1 + 1." in str(loaded)


BROKEN = {
    "data": (b"age,income\n1,2\n", "must have the columns that `table.save` writes. `engine`, `estimand`"),
    "no text": (b"PAR1\xff\xfe\x00", "must be a CSV file that `table.save` wrote"),
    "empty": (b"", "`engine`"),
    "no number": (None, "must have numbers in its column `std_error`. Line 2 has 'abc'"),
    "level": (None, "must have levels between 0 and 1. Line 2 has 95"),
    "short line": (None, "must have numbers in its column"),
}


@pytest.mark.parametrize(("content", "says"), BROKEN.values(), ids=BROKEN)
def test_a_csv_file_of_something_else_is_refused(tmp_path, content, says, request):
    path = tmp_path / "t.csv"
    if content is None:
        text = Table(ROWS[:1]).save(path).read_text()
        head, line = text.splitlines()
        kind = request.node.callspec.id
        changed = {
            "no number": line.replace("0.33333333333333331", "abc"),
            "level": line.replace("0.94999999999999996", "95"),
            "short line": line[: line.index("0.3333")] + '"',
        }
        path.write_text(f"{head}\n{changed[kind]}\n")
    else:
        path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=says):
        Table.load(path)


def test_excel_holds_rows_and_notes(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.load_workbook(TABLE.save(tmp_path / "t.xlsx"))
    assert book.sheetnames == ["rows", "notes"]
    head, *lines = book["rows"].iter_rows(values_only=True)
    column = dict(zip(head, zip(*lines, strict=True), strict=True))
    frame = TABLE.to_frame()
    for name in ("estimate", "std_error", "conf_low", "p_value", "n_obs"):
        found = np.array(column[name], dtype=float)  # an empty cell is NaN
        np.testing.assert_allclose(found, frame[name], rtol=DIGITS, atol=0)
    assert column["term"][1] == "'=cmd"  # no formula
    assert any("overlap is weak" in str(line[0]) for line in book["notes"].iter_rows(values_only=True))


def test_without_openpyxl_excel_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(spreadsheets, "find_spec", lambda name: None)
    with pytest.raises(
        PackageUnavailable, match=r"openpyxl is not installed\. Run: pip install openpyxl, or save"
    ):
        TABLE.save(tmp_path / "t.xlsx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".xls", ".tex", ".md", ".html", ".TXT", ".json", ".pdf", ".docx", ".dta"])
def test_no_file_has_the_ending_of_what_it_is_not(tmp_path, ending):
    with pytest.raises(InvalidOption, match=r"saved as \.parquet, \.csv or \.xlsx\. `t.* was asked for"):
        TABLE.save(tmp_path / f"t{ending}")
    assert list(tmp_path.iterdir()) == []


def test_excel_is_not_loaded(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(UnreadableFile, match=r"loaded from \.parquet or \.csv"):
        Table.load(tmp_path / "t.xlsx")
