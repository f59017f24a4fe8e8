"""`make size`: lines of the project's parts, and of them those that hold code.

A code line is neither blank, nor comment, nor docstring.
"""

from __future__ import annotations

import ast
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def code_lines(path):
    """Return the numbers of the lines that hold code."""
    with path.open("rb") as file:
        found = {
            line
            for token in tokenize.tokenize(file.readline)
            if token.type not in SILENT | {tokenize.ENCODING, tokenize.ENDMARKER}
            for line in range(token.start[0], token.end[0] + 1)
        }
    for node in ast.walk(ast.parse(path.read_bytes())):
        # a text that stands alone says something to the reader, nothing to the machine
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return found


def main(words):
    parts = {"library": [], "sandbox": [], "tests": []}
    for path in sorted([*ROOT.glob("mnslib/**/*.py"), *ROOT.glob("tests/**/*.py")]):
        place = path.relative_to(ROOT).parts
        part = "sandbox" if place[:2] == ("mnslib", "sandbox") else place[0]
        parts["library" if part == "mnslib" else part].append(path)
    for name, paths in parts.items():
        sizes = [(len(path.read_text("utf-8").splitlines()), len(code_lines(path)), path)
                 for path in paths]  # fmt: skip
        lines, code = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
        print(f"{name:8} {lines:6,} lines {code:6,} of code")
        if "--files" in words:
            for lines, code, path in sizes:
                print(f"  {lines:6,} {code:6,}  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
