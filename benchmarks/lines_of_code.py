"""Count the package's lines of code by folder: what a reader has to follow.

    python benchmarks/lines_of_code.py [folder of another checkout]

Docstrings, comments, imports, blank lines, migrations and tests are not counted.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def count_lines(source: str) -> int:
    """Return how many lines of ``source`` hold code."""
    tree = ast.parse(source)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        is_import = isinstance(node, ast.Import | ast.ImportFrom)
        is_docstring = (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        if is_import or is_docstring:
            left_out.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in left_out
        for number, line in enumerate(source.splitlines(), start=1)
    )


def count_package(checkout: Path) -> Counter[str]:
    """Return the lines of code of each folder of the package, by its path."""
    package = checkout / "medblocks_connect"
    lines: Counter[str] = Counter()
    for path in sorted(package.rglob("*.py")):
        folder = path.parent.relative_to(package)
        if "migrations" not in folder.parts:
            lines[folder.as_posix()] += count_lines(path.read_text(encoding="utf-8"))
    return lines


def main() -> None:
    """Print a line for each folder, and the sum."""
    lines = count_package(Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT)
    for folder, count in sorted(lines.items()):
        print(f"{folder:32}{count:6}")
    print(f"{'in all':32}{lines.total():6}")


if __name__ == "__main__":
    main()
