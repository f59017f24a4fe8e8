"""What every notebook must keep to, read from its file: a story, no logic, no outputs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

import mnslib
from mnslib.run.parameters import check_parameters, read_parameter_file, read_parameters

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CHANGING = ["10_prepare_cluster", "20_onboard_namespace", "30_provision_in_bulk"]
EXPECTED = [*CHANGING, "40_analyze_quota_utilization"]
TAGS = {
    "parameters", "setup", "check", "plan", "approve", "apply", "result", "decisions",
}  # fmt: skip
COMMON = {"target": "str", "cloud": "str", "credential": "str", "runs_dir": "str"}
GATE = {"dry_run": "bool", "approval": "str", "approved_digest": "str", "allow": "list"}
FORBIDDEN_NODES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.For, ast.While, ast.Try, ast.With,
    ast.Lambda,
)  # fmt: skip
FORBIDDEN_NAMES = {"input", "print", "exit", "quit", "open", "eval", "exec", "sleep", "environ"}


def cells(path, kind="code"):
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def test_the_notebooks_are_those_that_are_documented():
    assert [path.stem for path in NOTEBOOKS] == EXPECTED
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"notebooks/{name}.ipynb" in readme for name in EXPECTED)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestEveryNotebook:
    def test_carries_no_output_and_no_stray_metadata(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert set(content["metadata"]) <= {"kernelspec", "language_info"}
        for cell in cells(path):
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            assert set(cell["metadata"]) <= {"tags"}

    def test_uses_known_tags_and_one_parameters_cell_first(self, path):
        code = cells(path)
        tags = [set(cell["metadata"].get("tags", [])) for cell in code]
        assert set().union(*tags) <= TAGS
        assert tags[0] == {"parameters"}
        assert tags[1] == {"setup"}
        assert sum("parameters" in found for found in tags) == 1

    def test_holds_no_logic(self, path):
        for cell in cells(path)[1:]:
            tree = ast.parse(source(cell))
            found = [node for node in ast.walk(tree) if isinstance(node, FORBIDDEN_NODES)]
            assert not found, f"line {found[0].lineno} of {source(cell)}"
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
            assert not names & FORBIDDEN_NAMES

    def test_has_one_import_and_uses_only_the_face(self, path):
        importing = [
            cell for cell in cells(path) if re.search(r"^(from|import) ", source(cell), re.M)
        ]
        assert [cell["metadata"]["tags"] for cell in importing] == [["setup"]]
        nodes = list(ast.walk(ast.parse(source(importing[0]))))
        assert [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)] == [
            "import mnslib as mns"
        ]
        face = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "mns"
        }
        assert face <= set(mnslib.__all__)

    def test_says_one_thing_a_cell(self, path):
        for cell in cells(path)[2:]:
            assert len(ast.parse(source(cell)).body) == 1, source(cell)

    def test_says_who_runs_it_what_it_needs_and_what_it_touches(self, path):
        first = source(cells(path, "markdown")[0])
        for word in ("Who runs it", "Roles needed", "Touches", "Takes"):
            assert f"**{word}:**" in first
        assert source(cells(path, "markdown")[-1]).startswith("## What next")

    def test_is_a_story_of_small_cells(self, path):
        content = json.loads(path.read_text(encoding="utf-8"))
        assert 15 <= len(content["cells"]) <= 45
        told = [
            cell
            for cell in cells(path)
            if not {"parameters", "setup"} & set(cell["metadata"].get("tags", ()))
        ]
        assert all(len(source(cell).splitlines()) <= 30 for cell in told)

    def test_declares_the_common_parameters_and_the_safe_defaults(self, path):
        declared = {p.name: p for p in read_parameters(path)}
        for name, type_name in COMMON.items():
            assert declared[name].type_name == type_name
        assert declared["target"].default == "sandbox"
        if path.stem in CHANGING:
            assert {n: declared[n].type_name for n in GATE} == GATE
            assert declared["dry_run"].default is True
            assert (declared["approval"].default, declared["allow"].default) == ("digest", [])

    def test_has_a_sandbox_file_and_an_azure_template_that_fit(self, path):
        declared = read_parameters(path)
        for environment in ("sandbox", "azure"):
            file = ROOT / "parameters" / f"{path.stem}.{environment}.yaml"
            given = read_parameter_file(file, declared)
            check_parameters(declared, given)
            # plain papermill reads the same
            assert given == yaml.safe_load(file.read_text(encoding="utf-8"))
            assert given["target"] == environment
            assert environment == "sandbox" or given.get("dry_run", True) is True

    def test_is_a_dry_run_as_it_stands_in_every_azure_template(self, path):
        file = ROOT / "parameters" / f"{path.stem}.azure.yaml"
        text = file.read_text(encoding="utf-8")
        given = yaml.safe_load(text)
        assert given.get("approved_digest", "") == ""
        bare = [line for line in text.splitlines() if line.strip() and "#" not in line]
        assert len(bare) < len(given) / 2, "a template explains its values"


def test_every_parameter_file_belongs_to_a_notebook():
    stems = {path.name.split(".")[0] for path in (ROOT / "parameters").glob("*.yaml")}
    assert stems == {*EXPECTED, "policy", "tiers"}  # what they lean on
    assert Path(ROOT / "parameters" / "requests.sample.csv").is_file()
