"""One worker per process: forks, joblib, threads, Ctrl-C, and the end of the parent. Each script is a real process."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from hte_bridge.rlink import client

pytestmark = pytest.mark.r
PATIENCE = 60  # seconds until a script is held to hang
HEAD = "import os, signal, threading\nfrom hte_bridge.rlink import client\n"
LONG = (
    HEAD
    + """
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)
def long_forest():
    x, rng = np.zeros((4000, 5)), np.random.default_rng(0)
    x[:] = rng.normal(size=x.shape)
    names = list("abcde")
    client.call("forest_grow", {"X": x, "Y": x[:, 0], "W": x[:, 1]}, {"names": names, "num.trees": 100000, "seed": 1})
print(client.worker().process.pid, flush=True)
"""
)


def start(script):
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )


def run(script):
    with start(script) as process:
        try:
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    return out.split()


def gone(pid):
    """Whether the process ends within some seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def in_forest(pid):
    """Wait until the worker is busy with its forest."""
    worker, until = psutil.Process(pid), time.monotonic() + PATIENCE
    most = lambda: max(
        each.num_threads() for each in (worker, *worker.children())
    )  # R may run beside the worker
    while most() < 3 and time.monotonic() < until:  # R, the watch, and grf's own
        time.sleep(0.02)
    assert most() >= 3


def test_a_fork_starts_a_worker_of_its_own_and_the_parent_keeps_its():
    out = run(
        HEAD
        + """
one = client.worker().process.pid
held, free = threading.Event(), threading.Event()
def call():  # a thread in the midst of a call
    with client._link.lock:
        held.set(), free.wait()
threading.Thread(target=call).start()
held.wait()
child = os.fork()
if not child:
    assert client.call("sum", {"x": [1.0, 2.0]}) == 3
    print(client.worker().process.pid != one, flush=True)
    client.shutdown()
    os._exit(0)
free.set()
print(os.waitpid(child, 0)[1] == 0)
print(client.call("sum", {"x": [1.0, 2.0]}) == 3 and client.worker().process.pid == one)
print(one)
"""
    )
    assert out[:3] == ["True"] * 3
    assert gone(int(out[3]))  # a parent that exits leaves no worker


def test_joblib_workers_start_their_own():
    out = run(
        HEAD
        + """
from joblib import Parallel, delayed
def double(x):
    from hte_bridge.rlink import client
    return client.call("sum", {"x": [x, x]}), client.worker().process.pid
if __name__ == "__main__":
    print(client.worker().process.pid)
    answers = Parallel(n_jobs=2)(delayed(double)(float(x)) for x in range(4))
    print([value for value, _ in answers] == [0, 2, 4, 6])
    print(*{pid for _, pid in answers})
"""
    )
    assert out[1] == "True"
    assert out[0] not in out[2:]
    assert all(gone(int(pid)) for pid in (out[0], *out[2:]))


def test_threads_share_one_worker():
    number = client.worker().number
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda x: client.call("sum", {"x": [x, 1.0]}), range(40)))
    assert sums == [x + 1 for x in range(40)]
    assert client.worker().number == number


def test_a_worker_outlives_the_thread_that_started_it():
    client.shutdown()
    with ThreadPoolExecutor(1) as pool:
        number = pool.submit(lambda: client.worker().number).result()
    assert client.call("sum", {"x": [1.0, 1.0]}) == 2
    assert client.worker().number == number


@pytest.mark.parametrize("restart", [False, True], ids=["python", "as polars has it"])
def test_ctrl_c_ends_a_long_forest_and_the_next_call_works(restart):
    script = (
        LONG
        + f"signal.siginterrupt(signal.SIGINT, {not restart})"
        + """
try:
    long_forest()
except KeyboardInterrupt:
    print("interrupted", client.call("sum", {"x": [1.0, 2.0]}), flush=True)
"""
    )
    with start(script) as process:
        pid = int(process.stdout.readline())
        in_forest(pid)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert out.split() == ["interrupted", "3.0"]
    assert gone(pid)


def test_a_killed_parent_leaves_no_worker_even_in_a_long_forest():
    with start(LONG + "print(client.worker().hello['temporary'], flush=True); long_forest()") as process:
        pid, folder = int(process.stdout.readline()), process.stdout.readline().strip()
        in_forest(pid)
        process.kill()
    assert gone(pid)
    assert not Path(folder).exists()


def test_a_daemon_without_standard_streams_starts_r(tmp_path):
    said = tmp_path / "said"
    script = (
        HEAD
        + f"""
for descriptor in (0, 1, 2):
    os.close(descriptor)
open({str(said)!r}, "w").write(client.worker().describe()["r"])
"""
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1]) as process:
        assert process.wait(PATIENCE) == 0
    assert said.read_text()
