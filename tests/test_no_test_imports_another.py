"""What tests share lies in tests/helpers (or beside the properties): a test that is moved or deleted takes none with it."""

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_no_test_imports_another():
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS).as_posix()
        for other in re.findall(
            r"^(?:from|import) tests[\w.]*\.(test_\w+)", path.read_text(encoding="utf8"), re.MULTILINE
        ):
            found.append(f"{name} imports {other}")
    assert found == []
