"""Every file that we write: whole or refused, with the user's permissions, and nothing of it is ever run."""

import gzip
import io
import json
import os
import stat
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hte_bridge as hb
from bench import flips
from hte_bridge.between.coverage import coverage
from hte_bridge.engines.forest import CausalForestFit
from hte_bridge.errors import UnreadableFile
from hte_bridge.files import KEY, SEAL
from hte_bridge.rlink import client, rds
from hte_bridge.sealed import MARK, OPEN, read_arrays, seal, sealed, write_arrays
from hte_bridge.table import Estimate, Table

STUDY = flips.study()
FOREST = hb.CausalForest(num_trees=20, seed=1, num_threads=1)
WITHOUT_R = [kind for kind in flips.KINDS if kind != "forest"]


def kind(name):
    return {name: flips.KINDS[name]}


@pytest.mark.parametrize("name", WITHOUT_R)
def test_no_flipped_bit_changes_a_number_or_ends_in_a_raw_error(name):
    (counts,) = flips.flips(1, 150, kind(name)).values()
    assert set(counts) <= {"refused", "harmless"}
    assert counts["refused"] > 140


@pytest.mark.r
def test_no_flipped_bit_changes_a_forest():
    (counts,) = flips.flips(1, 150, kind("forest")).values()
    assert set(counts) == {"refused"}


def test_a_flip_that_changes_numbers_would_be_counted(tmp_path):  # the tests above are able to fail
    path = tmp_path / "numbers"
    read = lambda path: path.read_bytes()
    assert flips.outcome(path, read, b"12", repr(b"12")) == "harmless"
    assert flips.outcome(path, read, flips.flipped(b"12", 0), repr(b"12")) == "wrong"
    assert flips.outcome(path, lambda _: {}["x"], b"12", "") == "raw KeyError"


def test_a_cut_at_any_place_is_refused(tmp_path):
    path = Table((Estimate("ate", 1.0, 0.5, engine="grf"),)).save(tmp_path / "t.parquet")
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(UnreadableFile):
            Table.load(path)


def test_a_table_of_the_first_format_is_still_read(tmp_path):
    path = Table((Estimate("ate", 1.0, 0.5, engine="grf"),)).save(tmp_path / "t.parquet")
    columns = pq.read_table(path)
    state = json.loads(columns.schema.metadata[KEY])
    for version, readable in ((1, True), (2, False)):
        about = {KEY: json.dumps(state | {"version": version}).encode()}
        pq.write_table(columns.replace_schema_metadata(about), path)
        if readable:
            assert Table.load(path).rows[0].estimate == 1.0
        else:
            with pytest.raises(UnreadableFile, match=r"must have the checksum that `table.save` writes"):
                Table.load(path)


def test_a_text_that_holds_the_mark_breaks_no_checksum(tmp_path):
    note = OPEN.decode() + MARK.decode()
    path = Table((Estimate("ate", 1.0, 0.5, note=note),), {"x": note}).save(tmp_path / "t.parquet")
    assert Table.load(path).rows[0].note == note
    assert SEAL in pq.read_metadata(path).metadata


# ---- what a file declares is looked at before room is made for it -----------------------------------------------


def bomb(path, shape, compression):
    """An npz whose array declares a shape; its bytes are zeros."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    size = 2**20 if compression == zipfile.ZIP_STORED else 8 * int(np.prod(shape))
    with zipfile.ZipFile(path, "w", compression) as made:
        made.writestr("json.npy", header.getvalue())
        made.writestr("x.npy", header.getvalue() + bytes(size))
        made.comment = OPEN
    seal(path)
    return path


@pytest.mark.parametrize(
    ("shape", "compression"),
    [((10**12,), zipfile.ZIP_STORED), ((2**23,), zipfile.ZIP_DEFLATED), ((-(2**40), -1), zipfile.ZIP_STORED)],
)
def test_arrays_that_declare_more_than_the_file_holds_are_refused(shape, compression, tmp_path):
    path = bomb(tmp_path / "x.npz", shape, compression)
    with pytest.raises(UnreadableFile, match="must be a fit"):
        read_arrays(path, "a fit")


def test_pickles_are_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_arrays(tmp_path / "x.npz", {"x": np.array([{}], dtype=object)}, "{}")
    with (tmp_path / "y.npz").open("wb") as file:
        np.savez(file, json=np.array([{"a": 1}], dtype=object))
    with zipfile.ZipFile(tmp_path / "y.npz", "a") as made:
        made.comment = OPEN
    seal(tmp_path / "y.npz")
    with pytest.raises(UnreadableFile):
        read_arrays(tmp_path / "y.npz", "a fit")


def test_columns_that_unpack_to_far_more_than_the_file_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({name: np.zeros(4_000_000) for name in ("estimate", "std_error")})
    arrow = pa.Table.from_pandas(frame).replace_schema_metadata(
        {KEY: b'{"version": 2, "extra": []}', SEAL: OPEN}
    )
    pq.write_table(arrow, path, use_dictionary=False, compression="zstd")
    seal(path)
    with pytest.raises(UnreadableFile, match="truncated or of another format"):
        Table.load(path)


# ---- R's files ---------------------------------------------------------------------------------------------------

HARMLESS = {
    "numbers": "c(1.5, NA)",
    "text": "c('a', NA)",
    "lists": "list(a = list(1L, 2:5), b = NULL, m = matrix(1, 2, 2, dimnames = list(NULL, c('x', 'y'))))",
    "a factor and a frame": "data.frame(f = factor(c('u', 'v')), x = 1:2)",
    "raw and complex": "list(as.raw(1:3), 1i)",
}
DANGEROUS = {
    "a promise": "f <- function(x) environment(); e <- f(stop('ran')); as.list(list(e))",
    "a function": "list(1, function() system('true'))",
    "byte code": "compiler::compile(quote(system('true')))",
    "a call": "quote(system('true'))",
    "an expression": "expression(system('true'))",
    "an environment": "new.env()",
    "a formula, which holds an environment": "y ~ x",
    "code in an attribute": "structure(1, f = function() 1)",
    "an external pointer": "methods::getNativeSymbolInfo('R_addTaskCallback')",
}


def written(path, code, version=2):
    made = f"x <- {{ {code} }}; saveRDS(x, '{path}', version = {version})"
    subprocess.run(["Rscript", "--vanilla", "-e", made], check=True, capture_output=True)
    return path


@pytest.mark.r
@pytest.mark.parametrize("name", HARMLESS)
def test_numbers_text_and_lists_pass(name, tmp_path):
    rds.check(written(tmp_path / "x.rds", HARMLESS[name]))


@pytest.mark.r
@pytest.mark.parametrize("name", [each for each in DANGEROUS if "pointer" not in each])
def test_what_r_could_run_never_reaches_r(name, tmp_path):
    with pytest.raises(UnreadableFile, match="R could run what it holds"):
        rds.check(written(tmp_path / "x.rds", DANGEROUS[name]))


@pytest.mark.r
def test_a_forest_with_code_in_it_is_refused_though_its_checksum_holds(tmp_path):
    path = FOREST.fit(STUDY).save(tmp_path / "f.rds")
    ran = tmp_path / "ran"
    code = f"f <- readRDS('{path}'); f$hook <- function() file.create('{ran}'); f"
    written(path, code)
    path.write_bytes(path.read_bytes() + OPEN)
    seal(path)
    with pytest.raises(UnreadableFile, match="an object of R's type 3"):
        CausalForestFit.load(path)
    assert not ran.exists()


def packed(*words, head=rds.HEADER + bytes(8), tail=b""):
    return gzip.compress(head + struct.pack(f">{len(words)}I", *words) + tail)


CRAFTED = {
    "a length that is not there": packed(14, 2**30),
    "a long list that is not there": packed(19, 2**31 - 1, 14),
    "lists without end": packed(*[19, 1] * 5000),
    "pairs without end": packed(*[2] * 5000),
    "a long vector": packed(14, 2**32 - 1, 0, 1, tail=bytes(8)),
    "bytes behind the object": packed(254, 254),
    "another format": packed(254, head=b"A\n2\n"),
    "version 3": packed(254, head=b"X\n" + struct.pack(">i", 3) + bytes(8)),
    "nothing": b"",
    "no gzip": b"X\n" + bytes(100),
    "a bomb": gzip.compress(rds.HEADER + bytes(8) + bytes(2**26)),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_files_are_refused(name, tmp_path):
    (tmp_path / "x.rds").write_bytes(CRAFTED[name])
    with pytest.raises(UnreadableFile, match="Nothing was read"):
        rds.check(tmp_path / "x.rds")


@pytest.mark.r
def test_r_still_reads_a_saved_forest(tmp_path):
    path = FOREST.fit(STUDY).save(tmp_path / "f.rds")
    code = f"f <- readRDS('{path}'); library(grf); cat(class(f)[1], nrow(predict(f, f$X.orig)))"
    libraries = os.pathsep.join(client.worker().describe()["libraries"])
    said = subprocess.run(
        ["Rscript", "--vanilla", "-e", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "R_LIBS": libraries},
    )
    assert said.stdout == f"causal_forest {STUDY.n}"


@pytest.mark.r
def test_a_loaded_forest_whose_file_was_changed_is_not_read_again(tmp_path):
    path = FOREST.fit(STUDY).save(tmp_path / "f.rds")
    loaded = CausalForestFit.load(path)
    path.write_bytes(flips.flipped(path.read_bytes(), 4000))
    client.shutdown()
    with pytest.raises(UnreadableFile, match="must be as it was written"):
        loaded.cate(STUDY.frame)


# ---- permissions -------------------------------------------------------------------------------------------------


@pytest.fixture(params=[0o077, 0o027, 0o022])
def mask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder):
    return {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}


def test_files_have_the_permissions_that_the_user_gives(mask, tmp_path):
    table = hb.compare(STUDY, [hb.Feols()], estimands=["ate"], seed=1)
    table.save(tmp_path / "t.parquet")
    table.save(tmp_path / "t.csv")
    table.report(tmp_path / "r.html")
    coverage(STUDY, [hb.Feols()], draws=2, shapes=["none"], path=tmp_path / "c.parquet")
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(2)}, "{}")
    assert set(modes(tmp_path).values()) == {0o666 & ~mask}
    assert len(modes(tmp_path)) == 5


@pytest.mark.r
def test_a_forest_has_them_too(mask, tmp_path):
    FOREST.fit(STUDY).save(tmp_path / "f.rds")
    assert modes(tmp_path) == {"f.rds": 0o666 & ~mask}


def test_a_file_that_is_replaced_keeps_its_permissions(tmp_path):
    table = Table((Estimate("ate", 1.0, 0.5),))
    path = table.save(tmp_path / "t.parquet")
    path.chmod(0o600)
    table.save(path)
    assert modes(tmp_path) == {"t.parquet": 0o600}


def test_an_empty_file_has_no_checksum(tmp_path):
    (tmp_path / "x").touch()
    assert not sealed(tmp_path / "x")


# ---- names -------------------------------------------------------------------------------------------------------


@pytest.mark.r
def test_labels_of_any_text_are_names_of_files(tmp_path):
    labels = ["a/b", "a:b", "..", "größer", "a" * 300, "\n"]
    engines = [hb.CausalForest(num_trees=20, seed=1, label=each) for each in labels]
    table = hb.compare(STUDY, engines, estimands=["ate"], seed=1)
    table.save(tmp_path / "t.parquet", fits=True)
    files = sorted(each.name for each in tmp_path.iterdir())
    assert len(files) == 1 + len(labels)
    assert "t.größer.rds" in files
    assert {CausalForestFit.load(tmp_path / each).engine for each in files if each.endswith(".rds")} == set(
        labels
    )


@pytest.mark.r
def test_covariates_of_any_name_survive_a_file(tmp_path):
    frame = STUDY.frame.assign(**{"größe in €": STUDY.frame["x"], "ja?": STUDY.frame["x"] > 0})
    names = ["größe in €", "ja?"]
    study = hb.Study.from_frame(frame, outcome="y", treatment="d", covariates=names)
    fit = FOREST.fit(study)
    back = CausalForestFit.load(fit.save(Path(tmp_path, "f.rds")))
    pd.testing.assert_frame_equal(back.cate(frame), fit.cate(frame), check_exact=True)
