"""The process that R talks to, with this test at R's end of the line."""

import json
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hte_bridge.errors import InvalidOption
from hte_bridge.rlink.transport import Column
from hte_bridge.serve.__main__ import PROTOCOL
from hte_bridge.serve.arguments import as_declared, check_arguments
from hte_bridge.serve.channel import Channel
from hte_bridge.serve.remote import UserSession
from hte_bridge.serve.session import Session, make_engine
from hte_bridge.serve.values import Rows, decode, encode, read_frame
from hte_bridge.table import Estimate, Table

SECONDS = 60


class Peer:
    """R's end: a running server, asked one request at a time."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "hte_bridge.serve", str(folder)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.channel = Channel(self.process.stdout.fileno(), self.process.stdin.fileno())
        self.folder, self.n_asked = folder, 0
        self.greeting = self.channel.receive()

    def say(self, do: str, **arguments) -> int:
        self.n_asked += 1
        self.channel.send({"id": self.n_asked, "do": do, "arguments": arguments})
        return self.n_asked

    def ask(self, do: str, **arguments) -> dict:
        number = self.say(do, **arguments)
        answer = self.channel.receive()
        assert answer.pop("id") == number
        return answer

    def frame(self, frame: pd.DataFrame) -> dict:
        file = self.folder / f"to-python-{time.monotonic_ns()}.parquet"
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table.rename_columns([f"c{j + 1}" for j in range(frame.shape[1])]), file)
        columns = [{"name": name, "kind": "plain"} for name in frame]
        return {"$frame": str(file), "rows": len(frame), "columns": columns}

    def end(self) -> int:
        self.process.stdin.close()
        status = self.process.wait(SECONDS)
        self.process.stdout.close()
        return status


def experiment(seed: int, n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=n), "d": rng.integers(0, 2, n).astype(float)})
    return frame.assign(y=frame["d"] * (1 + frame["x"]) + rng.normal(size=n))


ROLES = {"outcome": "y", "treatment": "d", "covariates": ["x"]}


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    peer = Peer(tmp_path_factory.mktemp("columns"))
    yield peer
    if peer.process.poll() is None:
        peer.end()


def compared(peer: Peer) -> dict:
    study = peer.ask("study", data=peer.frame(experiment(1)), options=ROLES)["value"]
    engines = [{"$engine": "feols", "options": {}}]
    return peer.ask("compare", study={"$held": study["handle"]}, engines=engines, options={"seed": 1})[
        "value"
    ]


def test_a_table_is_asked_for_and_questioned(peer):
    table = compared(peer)
    assert Table.load(table["$table"]).rows[0].estimand == "coefficient"
    assert table["live"]
    again = peer.ask("verb", table={"$held": table["handle"]}, name="projection", options={})["value"]
    assert [row.term for row in Table.load(again["$table"]).rows][:2] == ["(Intercept)", "x"]


def test_the_same_table_as_in_python(peer):
    import hte_bridge as hb

    ours = hb.compare(hb.Study.from_frame(experiment(1), **ROLES), [hb.Feols()], seed=1)
    theirs = Table.load(compared(peer)["$table"])
    pd.testing.assert_frame_equal(theirs.to_frame(), ours.to_frame(), rtol=0, atol=1e-12)


def test_errors_travel_with_their_kind_and_sentence(peer):
    error = peer.ask("study", data=peer.frame(experiment(2)), options={**ROLES, "treatment": "dd"})["error"]
    assert error["kind"] == "InvalidData"
    assert "`dd` is not one" in error["message"]
    error = peer.ask("verb", table={"$held": "table0"}, name="gate", options={})["error"]
    assert error["kind"] == "FitsAreGone"
    assert "Run hte_compare() again" in error["message"]


def test_an_engine_is_added_to_each_contrast_of_several_arms(peer):
    frame = experiment(4).assign(arm=lambda df: np.arange(len(df)) % 3)
    roles = {**ROLES, "treatment": "arm", "treatment_type": "arms", "control": 0}
    study = peer.ask("study", data=peer.frame(frame), options=roles)["value"]
    engines = [{"$engine": "feols", "options": {}}]
    options = {"seed": 1, "estimands": ["ate"]}
    table = peer.ask("compare", study={"$held": study["handle"]}, engines=engines, options=options)["value"]
    again = {"$engine": "feols", "options": {"label": "again"}}
    both = peer.ask("add", table={"$held": table["handle"]}, engine=again)["value"]
    found = {(row.engine, row.estimand, row.term): row.estimate for row in Table.load(both["$table"]).rows}
    assert len(found) == 2 * (4 + 2)
    assert all(value == found["again", *key[1:]] for key, value in found.items() if key[0] == "feols")


def test_what_is_no_sentence_of_ours_comes_with_its_trace(peer):
    error = peer.ask("load", path=["not", "a path"])["error"]
    assert error["kind"] == "PythonError"
    assert "TypeError" in error["trace"]


def test_an_interrupt_ends_the_request_and_not_the_process(peer):
    table = compared(peer)
    study = peer.ask("study", data=peer.frame(experiment(3, 20_000)), options=ROLES)["value"]
    number = peer.say(
        "compare", study={"$held": study["handle"]}, engines=[{"$engine": "deep", "options": {}}], options={}
    )
    time.sleep(0.3)  # in the middle of the work, or of an import: both end
    peer.process.send_signal(signal.SIGINT)
    assert peer.channel.receive() == {"id": number, "interrupted": True}
    again = peer.ask("verb", table={"$held": table["handle"]}, name="projection", options={})
    assert "value" in again


def test_an_interrupt_is_heard_while_r_grows_a_forest_for_a_comparison_that_began_with_feols(peer):
    study = peer.ask("study", data=peer.frame(experiment(4)), options=ROLES)["value"]
    engines = [{"$engine": each, "options": {}} for each in ("feols", "causal_forest")]
    number = peer.say("compare", study={"$held": study["handle"]}, engines=engines, options={})
    assert peer.channel.receive()["call"] == "forest_grow"
    time.sleep(0.2)  # the server waits for R by now
    peer.process.send_signal(signal.SIGINT)
    assert select.select([peer.process.stdout], [], [], 10)[0]
    assert peer.channel.receive() == {"id": number, "interrupted": True}


def test_an_interrupt_between_requests_does_nothing(peer):
    peer.process.send_signal(signal.SIGINT)
    assert "value" in peer.ask("versions")


def test_the_process_ends_with_the_line(tmp_path):
    peer = Peer(tmp_path)
    assert peer.greeting["protocol"] == PROTOCOL
    assert peer.end() == 0


def from_r(path: str) -> str:
    """The file as R would have named it."""
    return str(Path(path).rename(path.replace("to-r-", "to-python-")))


def test_values_survive_the_way_there_and_back(tmp_path):
    value = {"a": 1, "b": [0.1 + 0.2, float("inf")], "c": None, "d": "ü", "e": np.float64(2.5), "f": True}
    sent = json.loads(json.dumps(encode(value, tmp_path), allow_nan=False))
    assert decode(sent, tmp_path) == value
    array = np.arange(6.0).reshape(2, 3)
    mark = encode(array, tmp_path)
    mark["$column"] = from_r(mark["$column"])
    np.testing.assert_array_equal(decode(mark, tmp_path), array)


def test_columns_get_the_types_they_had_in_r(tmp_path):
    file = tmp_path / "to-python-f.parquet"
    halves = np.array([2**62 + 1, 0, -1]).view(np.int32).reshape(3, 2)  # low half first
    columns = {
        "c1": pa.array([2, 1, None], pa.int32()),
        "c2": pa.array([int(halves[0, 0]), 0, int(halves[2, 0])], pa.int32()),
        "h2": pa.array(
            [int(halves[0, 1]), None, int(halves[2, 1])], pa.int32()
        ),  # R's NA is bit64's high half
        "c3": pa.array([True, None, False]),
    }
    pq.write_table(pa.table(columns), file)
    about = [
        {"name": "f", "kind": "factor", "levels": ["b", "a"], "ordered": True},
        {"name": "id", "kind": "integer64"},
        {"name": "odd name $", "kind": "plain"},
    ]
    frame = read_frame(str(file), {"rows": 3, "columns": about}, tmp_path)
    assert frame.index.tolist() == [1, 2, 3]
    assert frame["f"].tolist()[:2] == ["a", "b"]
    assert frame["f"].cat.ordered
    assert frame["id"].tolist() == [2**62 + 1, pd.NA, -1]  # exact: a float would not be
    assert frame["odd name $"].isna().tolist() == [False, True, False]
    assert not file.exists()


class Answering:
    """A line whose other end multiplies the column it is given by two."""

    def send(self, message):
        mark = message["arguments"]["x"]
        assert message["arguments"]["by"] == 2
        self.values = pq.read_table(mark["$column"]).column(0).to_numpy()
        self.shape = mark["shape"]

    def receive(self):
        pq.write_table(pa.table({"v": 2 * self.values}), self.file)
        return {"value": {"y": {"$column": str(self.file), "shape": self.shape}}, "warnings": []}


def test_calls_of_r_go_back_over_the_line(tmp_path):
    line = Answering()
    line.file = tmp_path / "to-python-answer.parquet"
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    column = Column("d", x.shape, memoryview(x.ravel(order="F")))
    reply, results = UserSession(line, tmp_path).request("double", {"x": {"$column": 0}, "by": 2}, [column])
    assert reply["value"] == {"y": {"$column": 0}}
    twice = np.frombuffer(results[0].buffer).reshape(results[0].shape, order="F")
    np.testing.assert_array_equal(twice, 2 * x)


def test_engines_and_options_that_are_not_known_are_told():
    with pytest.raises(InvalidOption, match="`forrest` is not"):
        make_engine("forrest", {})
    with pytest.raises(
        InvalidOption, match=r"`hte_feols\(\)` must be given arguments that it has. `vcof` is not one"
    ):
        make_engine("feols", {"vcof": "iid"})
    with pytest.raises(InvalidOption, match=r"`gate\(\)` needs `by`"):
        check_arguments(lambda by: None, {}, "gate")
    assert as_declared(make_engine, {"name": "feols"}) == {"name": "feols"}


def test_a_table_without_fits_says_so(tmp_path):
    session = Session(tmp_path)
    path = Table((Estimate("ate", 1.0, 0.5, engine="grf"),)).save(tmp_path / "t.parquet")

    def asked(name):
        copy = shutil.copy(path, tmp_path / "to-python-t.parquet")
        arguments = {"table": {"$file": str(copy)}, "name": name, "options": {}}
        return session.answer({"do": "verb", "arguments": arguments})

    with pytest.raises(LookupError, match="has ended"):
        asked("gate")
    assert "ate" in asked("to_markdown")


def test_the_same_rows_get_the_same_folds_as_in_python(tmp_path):
    import hte_bridge as hb

    session, frame = Session(tmp_path), experiment(5)
    ours = hb.Study.from_frame(frame, **ROLES)
    in_r = frame.set_axis(pd.RangeIndex(1, len(frame) + 1))  # R counts rows from 1
    theirs = session.held[session.study(in_r, ROLES)["handle"]]
    np.testing.assert_array_equal(hb.Folds.make(theirs).fold, hb.Folds.make(ours).fold)
    order = np.random.default_rng(1).permutation(len(frame))
    moved = in_r.iloc[order].set_axis(in_r.index)
    named = Rows(pd.DataFrame({"v": order + 1}), vector=True)  # the row names that R keeps
    theirs = session.held[session.study(moved, ROLES, named)["handle"]]
    np.testing.assert_array_equal(hb.Folds.make(theirs).fold, hb.Folds.make(ours).fold[order])


def test_a_study_of_files_is_made_of_a_path_alone(tmp_path):
    import hte_bridge as hb

    frame = experiment(5).assign(town=np.tile(["a", "b"], 100))
    frame.to_parquet(tmp_path / "rows.parquet")
    session = Session(tmp_path)
    said = session.study_of_files(str(tmp_path / "rows.parquet"), ROLES)
    assert said["n"] == 200
    assert "kept" not in said
    table = hb.compare(session.held[said["handle"]], ["feols"], seed=1)
    asked = session.verb(table, "average", {"estimand": "ate", "where": "x > 0 & town == 'a'"})
    held = hb.compare(hb.Study.from_frame(frame, **ROLES), ["feols"], seed=1)
    known = held.average("ate", where="x > 0 & town == 'a'")
    assert abs(asked.rows[0].std_error - known.rows[0].std_error) < 1e-8
