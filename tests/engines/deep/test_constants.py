"""Numbers that decide are fields of frozen records, each with a line, and the bench that halves and doubles them finds all."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from bench import constants as bench
from hte_bridge.engines.deep.gp.hmc import HMC

ENGINE = Path(__file__).parents[3] / "hte_bridge" / "engines" / "deep"
NO_DECISION = {  # memory, formats, arithmetic: what they are moves no estimate but by rounding
    "GB", "IN_CACHE", "NUMBER", "ABSORBED", "BAND_DRAWS", "BATCH", "CHUNK", "CHUNK_POINTS", "FORMAT_VERSION", "GAP", "GRID", "JITTER", "LARGEST", "LOG_2PI", "OLDEST",
    "PER_COVARIATE", "ROOT3", "ROUNDS", "SHIFTS", "SHOWN", "SMALL", "SOLVED_COLUMNS", "FLOOR", "TILE",
    "BLOCKS_OF_ROWS", "CUDA_ROWS", "FEWEST_ROWS", "FEW_POINTS", "MANY_PAIRS", "MOST_LEVELS", "MOST_ROWS", "NEWTON_STEPS", "STORED_EVERY", "STRIP_ROWS", "SEED_OF_EDGES", "SEED_OF_EVERYTHING", "SEED_OF_MORE", "SEED_OF_PAIRS", "EFFECT", "MEAN", "PAIR",
}  # fmt: skip


def modules():
    return [(path, ast.parse(path.read_text(encoding="utf8"))) for path in sorted(ENGINE.rglob("*.py"))]


def numeric(node):
    return all(isinstance(each, ast.Constant | ast.Tuple | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop | ast.Load | ast.Name) for each in ast.walk(node)) and any(
        isinstance(each, ast.Constant) and isinstance(each.value, int | float) for each in ast.walk(node)
    )  # fmt: skip


def test_no_number_that_decides_stands_bare():
    bare = []
    for path, tree in modules():
        for node in tree.body:
            if isinstance(node, ast.Assign) and numeric(node.value):
                names = [
                    each.id
                    for target in node.targets
                    for each in ast.walk(target)
                    if isinstance(each, ast.Name)
                ]
                bare += [
                    f"{path.stem}.{name}" for name in names if name.isupper() and name not in NO_DECISION
                ]
    assert bare == []


def test_every_field_of_a_record_has_a_line():
    silent = []
    for path, tree in modules():
        lines = path.read_text(encoding="utf8").splitlines()
        instances = {
            node.value.func.id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and not node.value.args
        }  # fmt: skip
        for record in tree.body:
            if isinstance(record, ast.ClassDef) and record.name in instances:
                fields = [
                    each for each in record.body if isinstance(each, ast.AnnAssign) and each.value is not None
                ]
                silent += [f"{path.stem}.{each.target.id}" for each in fields if not lines[each.lineno - 2].strip().startswith("# ")]  # fmt: skip
    assert [each for each in silent if not each.startswith("checkpoint.")] == []


def test_the_bench_finds_them_all_and_leaves_them_as_they_were():
    found = bench.constants()
    assert len(found) > 100
    assert len({each.name for each in found}) == len(found)
    leap = next(each for each in found if each.name == "gp.hmc.leap")
    with leap.at(2.0):
        assert HMC.leap == 1.0
    assert HMC.leap == 0.5


def test_the_bench_tells_numbers_that_act_from_those_that_do_not(tmp_path, monkeypatch):
    calls = []

    def cheap(design, draw, rows):
        """A fit that only the chain's leap moves, and that refuses a long one."""
        calls.append((design, draw, rows))
        if HMC.leap > 0.9 and design == "count":
            raise ValueError("too long")
        return {
            "bits": str(HMC.leap),
            "error": HMC.leap + draw,
            "covered": 0.9,
            "length": 1.0,
            "seconds": 1.0,
        }

    monkeypatch.setattr(bench, "cell", cheap)
    given = ["--out", str(tmp_path), "--only", "gp.hmc.leap,gp.hmc.leaps", "--rows", "60"]
    said = bench.main(given)
    assert said["still"] == ["gp.hmc.leaps"]
    halved = said["table"].set_index(["constant", "change"]).loc[("gp.hmc.leap", "halved")]
    assert (halved["moved"], halved["error"], halved["error_mc"]) == (
        1.0,
        pytest.approx(-0.25),
        pytest.approx(0.0, abs=1e-12),
    )
    assert said["table"]["refused"].sum() == 2
    done = len(calls)
    assert bench.main(given)["still"] == ["gp.hmc.leaps"]
    assert len(calls) == done  # what the file holds is not made again
