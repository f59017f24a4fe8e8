"""`make size`: what each room of the library holds against its budget. It only reports.

Lines are those of the files; beside them stands what `ruff format` would make of them if nothing
were kept from it (`fmt: skip`). A statement is a node of the syntax tree that is one, but for texts
that stand alone; so no formatting makes it smaller.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
BUDGETS = {
    "run and cli": 2700, "requests": 1700, "azure": 2400, "kube": 750, "provisioning": 2700,
    "capacity": 4400, "show": 2400, "charts": 1800, "vocabulary": 1500, "fleet": 700,
}  # fmt: skip
LIBRARY, SANDBOX = 21_500, 7_793
BEFORE = 29_110, 29_483, 14_006, 3.06
"""Of commit 235447a: the library's lines, also all formatted, statements, and docstring lines per
public name."""
LONGEST = 5
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass
class Size:
    """What some modules hold together."""

    modules: list[tuple[int, Path]] = field(default_factory=list)
    functions: list[tuple[int, str]] = field(default_factory=list)
    statements: int = 0
    public: int = 0
    docstring_lines: int = 0

    @property
    def lines(self):
        return sum(lines for lines, _ in self.modules)

    def add(self, path):
        text = path.read_text("utf-8")
        self.modules.append((len(text.splitlines()), path))
        tree = ast.parse(text)
        for node in ast.walk(tree):
            says = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            self.statements += isinstance(node, ast.stmt) and not says
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                self.functions.append((length, f"{path.stem}.{node.name}"))
        for node in public(tree):
            self.public += 1
            self.docstring_lines += len((ast.get_docstring(node) or "").splitlines())


def public(node):
    """Yield the functions and classes of a module, and their methods, that have public names."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, Definition) and not inner.name.startswith("_"):
            yield inner
            if isinstance(inner, ast.ClassDef):
                yield from public(inner)


def room_of(path, root=ROOT):
    place = path.relative_to(root / "mnslib").parts
    if len(place) == 1:
        return "fleet" if place[0] == "fleet.py" else "vocabulary"
    if place[0] in ("run", "cli"):
        return "run and cli"
    return "charts" if place[:2] == ("show", "charts") else place[0]


def measured(root=ROOT):
    """Return the sizes of the rooms, of those that have no budget too."""
    rooms = {name: Size() for name in BUDGETS}
    for path in sorted(root.glob("mnslib/**/*.py")):
        rooms.setdefault(room_of(path, root), Size()).add(path)
    return rooms


def joined(sizes):
    whole = Size()
    for size in sizes:
        whole.modules += size.modules
        whole.functions += size.functions
        whole.statements += size.statements
        whole.public += size.public
        whole.docstring_lines += size.docstring_lines
    return whole


def row(name, size, budget=None):
    over = f"{size.lines - budget:+7,}" if budget else ""
    allowed = f"{budget:7,}" if budget else ""
    print(f"  {name:14}{len(size.modules):8}{size.lines:8,}{allowed:>9}{over:>9}"
          f"{size.statements:12,}")  # fmt: skip


def formatted(paths):
    """Return how many places keep their own format, and the modules' lines if none did."""
    texts = [path.read_text("utf-8") for path in paths]
    with TemporaryDirectory() as folder:
        for number, text in enumerate(texts):
            Path(folder, f"{number}.py").write_text(text.replace("  # fmt: skip", ""), "utf-8")
        subprocess.run([sys.executable, "-m", "ruff", "format", "-q", "--config",
                        ROOT / "pyproject.toml", folder], check=True)  # fmt: skip
        lines = sum(len(path.read_text("utf-8").splitlines()) for path in Path(folder).iterdir())
    return sum(text.count("# fmt: skip") for text in texts), lines


def beside(root=ROOT):
    """Yield what people read or set, and its lines."""
    for kind, pattern in {
        "templates": "mnslib/**/*.j2", "templates ": "mnslib/**/templates/**/*.html",
        "YAML": "mnslib/**/*.yaml", "CSS": "mnslib/**/*.css",
    }.items():  # fmt: skip
        paths = [p for p in root.glob(pattern) if "sandbox" not in p.relative_to(root).parts]
        if paths:
            yield kind, sum(len(path.read_text("utf-8").splitlines()) for path in paths)
    for path in sorted(root.glob("notebooks/*.ipynb")):
        yield path.stem, notebook_lines(path)


def notebook_lines(path):
    """Return how many lines of a notebook's cells are code, as the issue counts them."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lines = [line.strip() for text in code for line in text.splitlines()]
    return sum(1 for line in lines if line and not line.startswith("#"))


def main(words):
    rooms = measured()
    sandbox = rooms.pop("sandbox", Size())
    library = joined(rooms.values())
    print("  room           modules   lines   budget     over  statements")
    for name, size in rooms.items():
        row(name, size, BUDGETS.get(name))
    row("library", library, LIBRARY)
    row("sandbox", sandbox, SANDBOX)
    lines, lines_formatted, statements, ratio = BEFORE
    said = library.docstring_lines / library.public
    print(f"  before {lines:,} lines, {statements:,} statements; now {library.lines / lines:.0%}"
          f" and {library.statements / statements:.0%} of them (at most 75 %)")  # fmt: skip
    kept, written = formatted(path for _, path in library.modules)
    print(f"  {written:,} lines without the {kept} places that keep their own format"
          f" (before {lines_formatted:,})")  # fmt: skip
    print(f"  docstring lines per public name {said:.2f} (before {ratio:.2f})")
    print("  beside it:", ", ".join(f"{name.strip()} {lines:,}" for name, lines in beside()))
    if "--files" in words:
        for lines, path in sorted(library.modules, reverse=True):
            print(f"  {lines:6,}  {path.relative_to(ROOT)}")
        return
    longest = sorted(library.modules, reverse=True)[:LONGEST]
    print("  longest modules:", ", ".join(f"{path.stem} {lines}" for lines, path in longest))
    functions = sorted(library.functions, reverse=True)[:LONGEST]
    print("  longest functions:", ", ".join(f"{name} {lines}" for lines, name in functions))


if __name__ == "__main__":
    main(sys.argv[1:])
