"""Nothing that comes over the line from R ends the process that holds the fits of a session."""

import json
import random
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hte_bridge.errors import UnreadableFile
from hte_bridge.serve.__main__ import reply
from hte_bridge.serve.channel import Channel, Hangup, Malformed
from hte_bridge.serve.files import taken
from hte_bridge.serve.session import Session
from hte_bridge.serve.values import Rows, decode, encode

N_LINES = 400
VALUES = (
    None,
    True,
    -1,
    10**30,
    1.5,
    "",
    "ü",
    "feols",
    [],
    [1],
    {},
    {"$held": "study1"},
    {"$frame": "/etc/passwd"},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    process = subprocess.Popen(
        [sys.executable, "-m", "hte_bridge.serve", str(tmp_path_factory.mktemp("columns"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    channel = Channel(process.stdout.fileno(), process.stdin.fileno())
    channel.receive()
    yield channel
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def random_value(rng: random.Random, depth: int = 0):
    kind = rng.randrange(4)
    if depth > 2 or kind < 2:
        return rng.choice(VALUES)
    if kind == 2:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = (
        "$frame",
        "$rows",
        "$column",
        "$file",
        "$engine",
        "$number",
        "$held",
        "columns",
        "rows",
        "options",
        "x",
    )
    return {rng.choice(keys): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}


def random_line(rng: random.Random) -> bytes:
    """Bytes, JSON of no request, requests of wrong parts, whole requests cut or with bytes changed."""
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(60))).replace(b"\n", b" ")
    if kind == 1:
        return json.dumps(random_value(rng)).encode()
    verbs = (
        "study",
        "compare",
        "verb",
        "verbs",
        "add",
        "load",
        "versions",
        "doctors",
        "answer",
        "__init__",
        "",
    )
    names = ("data", "options", "table", "study", "engines", "engine", "name", "path", "columns")
    request = {"id": rng.choice((1, None, "a", [1], 1.5)), "do": rng.choice(verbs)}
    request["arguments"] = {rng.choice(names): random_value(rng) for _ in range(rng.randrange(4))}
    request |= {rng.choice(("id", "do", "arguments", "drop")): random_value(rng)} if kind == 2 else {}
    line = json.dumps(request).encode()
    if kind == 3:
        return line[: rng.randrange(len(line))]
    spoilt = bytearray(line)
    spoilt[rng.randrange(len(line))] = rng.choice(range(11, 256))
    return bytes(spoilt) if kind == 4 else line


def test_each_random_line_is_answered_and_the_process_lives(server):
    rng = random.Random(1)
    for number in range(N_LINES):
        line = random_line(rng)
        server.write(line + b"\n")
        answer = server.receive()
        assert {"value", "error"} & set(answer), (number, line)
    server.send({"id": 7, "do": "versions", "arguments": {}})
    assert server.receive()["id"] == 7


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "one line of JSON"),
        (b"{", "one line of JSON"),
        (b"\xff\xfe{", "one line of JSON in UTF-8"),
        (b'{"id": NaN}', "NaN is not JSON"),
        (b"[" * 200_000, "one line of JSON"),
        (b'{"x":' * 50_000 + b"1" + b"}" * 50_000, "one line of JSON"),
        (b"[1]", "must be an object"),
        (b'{"id": 1}', "A request must be one of study, study_of_files, compare"),
        (b'{"id": 1, "do": ["study"], "arguments": {}}', "A request must be one of"),
        (b'{"id": 1, "do": "study", "arguments": []}', "must have an object as `arguments`"),
        (b'{"id": 1, "do": "study", "arguments": {"x": 1}}', "`x` is not one"),
        (b'{"id": 1, "do": "verb", "arguments": {"name": "gate"}}', "needs `table`"),
    ],
    ids=range(12),
)
def test_a_line_that_is_no_request_gets_a_sentence(server, line, said):
    server.write(line + b"\n")
    assert said in server.receive()["error"]["message"]


def test_a_line_too_long_is_passed_over_without_being_kept(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"x" * 300_000 + b"\n" + b'{"id": 2}\n')
    with path.open("rb") as file:
        channel = Channel(file.fileno(), -1, longest=1_000)
        with pytest.raises(Malformed, match=r"at most 1,000 bytes long\. One of 300,000 bytes came"):
            channel.receive()
        assert channel.receive() == {"id": 2}
        with pytest.raises(Hangup):
            channel.receive()


class Asked:
    """A channel on which one request has come."""

    def receive(self):
        return {"id": 3}


class Allowing:
    """As ``Interrupts``; the handler of signals belongs to the process that runs the tests."""

    def allowed(self):
        return memoryview(b"")  # any context


@pytest.mark.parametrize(
    "fault", [SystemExit(3), RecursionError("deep"), MemoryError(), AssertionError("no")]
)
def test_whatever_a_verb_raises_is_an_answer(fault):
    class Faulty:
        def answer(self, request):
            raise fault

    answer = json.loads(reply(Asked(), Faulty(), Allowing()))
    assert answer["id"] == 3
    assert answer["error"]["message"].startswith(type(fault).__name__)


def test_what_cannot_be_written_as_json_is_an_answer():
    class Odd:
        def answer(self, request):
            return float("nan")

    assert "error" in json.loads(reply(Asked(), Odd(), Allowing()))


def test_files_that_r_did_not_write_for_the_session_are_neither_read_nor_removed(tmp_path):
    session, outside = tmp_path / "session", tmp_path / "to-python-data.parquet"
    session.mkdir()
    pq.write_table(pa.table({"c1": [1.0]}), outside)
    inside = session / "notes.parquet"
    inside.write_bytes(outside.read_bytes())
    link = session / "to-python-link.parquet"
    link.symlink_to(outside)
    around = session / ".." / "to-python-data.parquet"
    about = {"rows": 1, "columns": [{"name": "x", "kind": "plain"}]}
    server = Session(session)
    for path in (outside, inside, link, around, session / "to-python-none.parquet"):
        for mark in (
            {"$frame": str(path), **about},
            {"$column": str(path), "shape": [1]},
            {"$file": str(path)},
        ):
            with pytest.raises(UnreadableFile, match="that R wrote for this session"):
                server.answer({"do": "load", "arguments": {"path": mark}})
    assert outside.exists()
    assert inside.exists()


def test_a_file_is_removed_even_if_it_is_no_parquet(tmp_path):
    file = tmp_path / "to-python-x.parquet"
    file.write_text("no")
    with pytest.raises(pa.ArrowInvalid), taken(str(file), tmp_path) as path:
        pq.read_table(path)
    assert not file.exists()


def test_a_name_of_the_users_is_never_taken_for_a_mark(tmp_path):
    value = {"$frame": "/etc/passwd", "$$x": 1, "y": {"$held": "table1"}}
    sent = encode(value, tmp_path)
    assert not {"$frame", "$held"} & {*sent, *sent["y"]}
    assert decode(sent, tmp_path) == value


def test_columns_along_the_data_are_taken_at_the_rows_that_the_study_kept():
    frame = pd.DataFrame({"v": [10, 20, 30, 40]}, index=pd.RangeIndex(1, 5))
    kept = pd.Index([1, 3, 4])
    assert Rows(frame, vector=True).on(kept).to_dict() == {1: 10, 3: 30, 4: 40}
    assert Rows(frame.iloc[:3], vector=True).on(kept).to_dict() == {1: 10, 3: 20, 4: 30}


def test_what_a_library_prints_cannot_break_a_message():
    code = (
        "import os; from hte_bridge.serve.channel import take_standard_streams as take; line = take();"
        "print('noise'); os.write(1, b'noise'); line.send({'id': 1}); os.system('echo noise')"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert said.stdout == b'{"id": 1}\n'
    assert said.stderr.count(b"noise") == 3
