"""A file says what the frame that was written said: ids keep their text and their digits, whatever the door."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from hte_bridge.errors import InvalidData, UnreadableFile
from hte_bridge.frames import to_pandas
from hte_bridge.study import Study

N = 120


def frame(**more) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    plain = {"y": rng.normal(size=N), "d": rng.integers(0, 2, N), "x": rng.normal(size=N)}
    return pd.DataFrame(plain | {"g": np.arange(N) % 6} | more)


def labels(*names) -> np.ndarray:
    return np.array(names, dtype=object)[np.arange(N) % len(names)]


def study(data, **roles) -> Study:
    return Study.from_frame(data, **({"outcome": "y", "treatment": "d", "covariates": ["x"]} | roles))


def written(df, tmp_path, **how):
    path = tmp_path / "t.csv"
    df.to_csv(path, index=False, **how)
    return path


def same_partition(one, other) -> bool:
    return (
        len({*zip(one.tolist(), other.tolist(), strict=True)})
        == len({*one.tolist()})
        == len({*other.tolist()})
    )


IDS = {
    "Namibia": labels("NA", "DE", "FR"),
    "none is a level": labels("None", "nan", "null", "a"),
    "padded": labels("01", "1", "02", "2"),
    "padded alone": labels("007", "012", "113"),
    "scientific": labels("1E2", "100", "2E1", "20"),
    "decimals": labels("5", "5.0", "5.00"),
    "hexadecimal": labels("0x10", "16", "3"),
    "beyond 2^53": np.array([2**53 + i for i in range(6)])[np.arange(N) % 6],
    "beyond 2^63": labels("9223372036854775808", "9223372036854775809", "12345678901234567890123"),
    "floats": np.array([0.1, 0.30000000000000004, 0.3])[np.arange(N) % 3],
    "signs": labels("+5", "5", "-5"),
    "yes and true": labels("True", "TRUE", "true", "False"),
    "commas and quotes": labels('a,"b"', "a", "line\nbreak"),
}


@pytest.mark.parametrize("role", ["cluster", "fixed_effects"])
@pytest.mark.parametrize("ids", IDS.values(), ids=IDS)
def test_ids_of_a_csv_file_are_those_of_the_frame(tmp_path, ids, role):
    df = frame(id=ids)
    plain, read = study(df, **{role: "id"}), study(written(df, tmp_path), **{role: "id"})
    codes = (lambda s: s.cluster) if role == "cluster" else (lambda s: s.fixed_effects[:, 0])
    assert read.n == plain.n == N
    assert same_partition(codes(read), codes(plain))


@pytest.mark.parametrize(
    "name", ["Namibia", "none is a level", "padded", "padded alone", "scientific", "hexadecimal"]
)
def test_text_of_a_csv_file_is_a_category_as_in_the_frame(tmp_path, name):
    df = frame(id=IDS[name])
    roles = {"covariates": ["x", "id"]}
    read, plain = study(written(df, tmp_path), **roles), study(df, **roles)
    assert read.names.covariates == plain.names.covariates
    np.testing.assert_array_equal(read.covariates, plain.covariates)


def test_types_come_from_the_whole_file_not_from_its_first_rows(tmp_path):
    n = 40_000
    df = pd.DataFrame(
        {f"q{j}": np.zeros(n, dtype=int) for j in range(40)} | {"id": [str(i % 30) for i in range(n)]}
    )
    df.loc[n - 10 :, "id"] = "A0"
    assert to_pandas(written(df, tmp_path))["id"].tolist() == df["id"].tolist()


@pytest.mark.parametrize("gap", ["", "NA", "NaN", "None", "null", "."])
def test_numbers_with_gaps_are_numbers(tmp_path, gap):
    df = frame(k=np.arange(N), id=2**60 + np.arange(N) % 6)
    for name in ("y", "x", "k", "id"):
        df[name] = df[name].astype(object)
        df.loc[3, name] = None
    read = study(written(df, tmp_path, na_rep=gap), covariates=["x", "k"], cluster="id")
    assert read.dropped == {"missing outcome y": 1} or read.dropped == {
        "missing outcome y": 1,
        "missing cluster id": 1,
    }
    assert read.cluster_levels.tolist() == [2**60 + i for i in range(6)]
    assert read.encoder.columns[1].kind == "number"


def test_numbers_of_a_csv_file_are_exact(tmp_path):
    values = np.concatenate(
        [np.random.default_rng(1).normal(size=90) * 10.0 ** np.arange(-45, 45), np.arange(30.0)]
    )
    read = study(written(frame().assign(y=values), tmp_path))
    np.testing.assert_array_equal(read.outcome, values)


def test_mixed_ways_to_write_numbers_are_numbers_where_numbers_are_asked_for(tmp_path):
    df = frame(y=labels("1", "1.0", "02.50", "1E2"), x=labels("0.5", ".5", "0.50", "7"))
    read = study(written(df, tmp_path))
    assert sorted(set(read.outcome)) == [1.0, 2.5, 100.0]
    assert sorted(set(read.covariates[:, 0])) == [0.5, 7.0]


def r_file(tmp_path, field: str):
    """As write.csv writes: names and text in quotes, a missing value NA without."""
    rows = [
        f"{i / 7},{i * 7 // 3 % 2},{i * i % 11},{field if i % 6 == 0 else chr(34) + 'v' + str(i % 6) + chr(34)}"
        for i in range(N)
    ]
    path = tmp_path / "r.csv.gz"
    path.write_bytes(gzip.compress("\n".join(['"y","d","x","v"', *rows]).encode()))
    return path


def test_a_bare_na_in_a_file_of_r_is_missing_and_a_quoted_one_is_text(tmp_path):
    assert study(r_file(tmp_path, "NA"), cluster="v").dropped == {"missing cluster v": 20}
    assert study(r_file(tmp_path, '"NA"'), cluster="v").cluster_levels.tolist() == [
        "NA",
        "v1",
        "v2",
        "v3",
        "v4",
        "v5",
    ]


def test_yes_and_no_are_read(tmp_path):
    df = frame().assign(d=lambda d: d["d"].map({0: "FALSE", 1: "TRUE"}), x=lambda d: d["x"] > 0)
    read = study(written(df, tmp_path))
    assert read.binary
    assert set(read.covariates[:, 0]) == {0.0, 1.0}


def doors(table, tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "t.parquet")
    return {
        "arrow": table,
        "reader": table.to_reader(),
        "polars": pl.from_arrow(table),
        "lazy": pl.from_arrow(table).lazy(),
        "parquet": tmp_path / "t.parquet",
        "arrow dtypes": table.to_pandas(types_mapper=pd.ArrowDtype),
        "Int64": table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get),
    }


@pytest.mark.parametrize("door", ["arrow", "reader", "polars", "lazy", "parquet", "arrow dtypes", "Int64"])
def test_integers_with_a_gap_stay_exact_through_every_door(tmp_path, door):
    ids = [None, *(2**53 + i % 40 for i in range(1, N))]
    table = pa.table(
        {"y": frame()["y"], "d": frame()["d"], "x": frame()["x"], "id": pa.array(ids, pa.int64())}
    )
    made = study(doors(table, tmp_path)[door], cluster="id")
    assert made.n_clusters == 40
    assert made.cluster_levels.tolist() == [2**53 + i for i in range(40)]
    again = study(doors(table, tmp_path)[door], fixed_effects="id")
    assert again.effect_levels[0].tolist() == [2**53 + i for i in range(40)]
    assert again.subset(np.arange(60)).effect_levels[0].tolist() == [2**53 + i for i in range(40)]


def test_a_duckdb_relation_comes_in_with_its_types():
    duckdb = pytest.importorskip("duckdb")
    df = frame(
        id=pd.array([None, *(2**53 + i % 40 for i in range(1, N))], dtype="Int64"), town=labels("b", "a", "c")
    )
    con = duckdb.connect()
    con.register("held", df)
    made = study(con.sql("select * from held"), covariates=["x", "town"], cluster="id")
    plain = study(df, covariates=["x", "town"], cluster="id")
    assert made.names == plain.names
    assert made.cluster_levels.tolist() == plain.cluster_levels.tolist()
    np.testing.assert_array_equal(made.covariates, plain.covariates)
    exact = con.sql("select y::decimal(9, 3) as y, d, x, town::enum('c', 'b', 'a') as town from held")
    assert study(exact, covariates=["x", "town"]).names.covariates == ("x", "town[b]", "town[c]")


def test_anything_with_an_arrow_stream_comes_in():
    class Peer:
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.Table.from_pandas(frame()).__arrow_c_stream__(requested_schema)

    assert study(Peer()).n == N


def test_an_arrow_stream_keeps_types_whatever_it_is_called_and_wherever_it_comes_from():
    class Peer:
        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    ids = [None, *(2**53 + i % 40 for i in range(1, N))]
    table = pa.table(
        {
            "y": pa.array(frame()["y"]).cast(pa.float32()),
            "d": pa.array(frame()["d"] == 1),
            "x": pa.array(range(N), pa.uint8()),
            "id": pa.array(ids, pa.int64()),
            "town": pa.array(labels("b", "a", "c").astype(object)).dictionary_encode(),
            "day": pa.array([0] * N, pa.date32()),
        }
    )
    read = to_pandas(Peer(table))
    assert read["id"].tolist() == to_pandas(table)["id"].tolist() == [pd.NA, *ids[1:]]
    assert read["town"].cat.categories.tolist() == ["a", "b", "c"]
    assert [read[name].dtype.kind for name in ("y", "d", "x")] == ["f", "b", "u"]
    assert study(Peer(table), covariates=["x", "town"], cluster="id").n_clusters == 40


def test_a_frame_with_an_index_of_its_own_brings_it():
    dask = pytest.importorskip("dask.dataframe")
    df = frame().set_axis([f"unit {k}" for k in range(N)])
    made = study(dask.from_pandas(df, npartitions=2, sort=False))
    assert made.index.tolist() == df.index.tolist()


def test_levels_of_a_dictionary_are_sorted_not_in_order_of_appearance():
    df = frame(town=labels("c", "a", "b"))
    table = pa.Table.from_pandas(df)
    encoded = table.set_column(4, "town", table["town"].dictionary_encode()).replace_schema_metadata(None)
    assert study(encoded, covariates=["town"]).names.covariates == ("town[b]", "town[c]")
    declared = df.assign(town=pd.Categorical(df["town"], ["c", "b", "a"]))
    for handed in (declared, pa.Table.from_pandas(declared)):  # an order that was declared is kept
        assert study(handed, covariates=["town"]).names.covariates == ("town[b]", "town[a]")


def test_labels_of_a_stata_file_are_no_ranks(tmp_path):
    df = frame(
        region=pd.Categorical(labels("North", "South", "East"), ["North", "South", "East"]),
        village=np.repeat(["", "a", "b"], 40),
    )
    path = tmp_path / "s.dta"
    df.to_stata(path, write_index=False)
    made = study(path, covariates=["x", "region"], cluster="village")
    assert made.names.covariates == ("x", "region[South]", "region[East]")
    assert made.dropped == {"missing cluster village": 40}
    assert not made.notes
    ranked = study(pd.read_stata(path), covariates=["x", "region"])
    assert ranked.names.covariates == ("x", "region")
    assert "`region` enters as one rank (North = 0, South = 1, East = 2)" in ranked.notes[0]


def test_new_rows_of_a_csv_file_are_read_as_the_study_holds_them(tmp_path):
    made = study(frame(code=labels("01", "1", "2")), covariates=["x", "code"])
    new = pd.DataFrame({"x": ["01", "2"], "code": ["1", "2"]})
    assert made.encoder.transform(written(new, tmp_path)).tolist() == [[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "could not be read"),
        ("y,d,x\n1,2\n", "could not be read"),
        ("y,d,x\n", "must have rows"),
        ("y,y,x\n1,2,3\n", "`y` occurs 2 times"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises((InvalidData, UnreadableFile), match=says):
        study(tmp_path / "t.csv")


def test_dates_of_a_file_are_dates_as_a_frames_are(tmp_path):
    df = frame(day=pd.Timestamp("2020-01-30") + pd.to_timedelta(np.arange(N) % 4, "D"))
    path = written(df, tmp_path)
    for data in (df, path):
        with pytest.raises(InvalidData, match="It holds dates"):
            study(data, covariates=["x", "day"])
        assert study(data, cluster="day").n_clusters == 4
        assert study(data, fixed_effects=["day"]).effect_levels[0].shape == (4,)
    soon = written(df.assign(day=np.where(np.arange(N) % 2, "2020-01-30", "soon")), tmp_path)
    assert study(soon, covariates=["x", "day"]).names.covariates == ("x", "day[soon]")


def test_a_missing_id_among_numbers_is_no_cluster(tmp_path):
    """readr writes it as NA, pandas as nothing."""
    ids = [str(k % 6) if k % 10 else "NA" for k in range(N)]
    for path in (
        written(frame(g=ids), tmp_path),
        written(frame(g=[each.replace("NA", "") for each in ids]), tmp_path),
    ):
        made = study(path, cluster="g")
        assert made.n_clusters == 6
        assert made.dropped == {"missing cluster g": 12}


MARKED = {  # a file, and what its column `x` holds; a mark is taken for what the rest of the file shows
    "thousands beside decimal commas": ("y;x\n1,5;1.234\n2,5;900\n0,25;12.500\n", [1234, 900, 12500]),
    "thousands twice in a number": ("y;x\n1;1.234.567\n2;900\n3;12.500\n", [1234567, 900, 12500]),
    "commas beside decimal points": ("y\tx\n1.5\t1,234\n2.5\t900\n0.25\t12,500\n", [1234, 900, 12500]),
    "both marks": ("y\tx\n1\t1,234.5\n2\t900\n3\t12,500\n", [1234.5, 900, 12500]),
    "three decimals behind a comma": ("y;x\n1;1,234\n2;0,5\n3;12,500\n", [1.234, 0.5, 12.5]),
    "three decimals behind a point": ("y;x\n1.5;1.234\n2.5;900\n0.25;12.500\n", [1.234, 900, 12.5]),
    "semicolons": ("y;x\n1;1,234\n2;900\n3;12,500\n", [1.234, 900, 12.5]),
    "points that nothing tells": ("y;x\n1;1.234\n2;900\n3;12.500\n", ["1.234", "900", "12.500"]),
    "commas that nothing tells": ("y\tx\n1\t1,234\n2\t900\n3\t12,500\n", ["1,234", "900", "12,500"]),
    "a code stays as it stood": ("y;x\n1,5;01,5\n2,5;2,5\n0,25;3\n", ["01,5", "2,5", "3"]),
}


@pytest.mark.parametrize("case", MARKED)
def test_a_mark_in_a_number_is_what_the_file_shows_it_to_be(case, tmp_path):
    """A million of people was read as 1.234 beside decimal commas, and 1,234 of a file with tabs as 1.234."""
    content, values = MARKED[case]
    (tmp_path / "t.csv").write_text(content)
    made = to_pandas(tmp_path / "t.csv")
    assert made["x"].tolist() == values
    assert ("may be read two ways" in made.attrs["hte_bridge_taken"]) == ("nothing tells" in case)
