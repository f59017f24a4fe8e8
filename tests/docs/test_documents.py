"""What the documents promise is there."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import tomllib
from pathlib import Path

import click
import pytest
import yaml

import mnslib
from mnslib.cli import main
from mnslib.provisioning.changes import RiskName
from mnslib.requests.columns import COLUMNS, column_words
from mnslib.requests.policy import Policy
from mnslib.show.tables import told

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    split = (re.match(r"([A-Za-z0-9-]+)(?:\[\w+\])?(.*)", text) for text in project["dependencies"])
    return project["requires-python"], {found[1]: found[2] for found in split}


def test_environment_yml_installs_the_same_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, packages = requirements()
    named = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--editable ."]
    assert f"python{python}" in named
    for entry in named:
        name, bounds = re.fullmatch(r"([a-z0-9-]+)(.*)", entry).groups()
        if name not in ("python", "pip"):
            assert packages[name] == bounds


def test_every_dependency_is_bounded_above_or_explained():
    _, packages = requirements()
    unbounded = [name for name, bounds in packages.items() if "<" not in bounds]
    assert unbounded == ["cryptography"]  # security releases come as major versions


def test_no_tracked_text_names_a_registry_address():
    for path in [*ROOT.glob("*.*"), *(ROOT / "docs").rglob("*.md")]:
        if path.is_file() and path.suffix in (".toml", ".yml", ".md"):
            assert not re.search(r"https?://[^ ]*(pypi|pythonhosted)", path.read_text())


def test_the_readme_names_every_command():
    def commands(group, prefix):
        for name, command in sorted(group.commands.items()):
            if isinstance(command, click.Group):
                yield from commands(command, f"{prefix} {name}")
            else:
                yield f"{prefix} {name}"

    table = README.partition("\n## Commands\n")[2]
    missing = [name for name in commands(main, "mns") if f"`{name}" not in table]
    assert missing == []


def test_the_commands_of_the_readme_exist():
    for name in set(re.findall(r"`mns ([a-z]+)", README)):
        assert name in main.commands


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z]+)`?", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_the_readme_grants_every_role_that_a_notebook_names():
    granted = set(re.findall(r'--role "([^"]+)"', README))
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        line = re.search(r"\*\*Roles needed:\*\* (.*)", path.read_text())[1]
        assert set(re.findall(r"\*([A-Z][^*]+)\*", line)) <= granted, path.name


def test_ids_to_copy_are_those_of_the_world():
    world = (ROOT / "mnslib/sandbox/worlds/default.yaml").read_text()
    page = (ROOT / "docs/sandbox.md").read_text()
    for guid, name in re.findall(r"group:([0-9a-f-]{36})=\S+ +# (\S+)", page):
        assert f"{name}: {guid}" in world


def test_every_linked_file_of_the_documents_exists():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def resolves(name):
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def test_every_name_of_the_library_in_the_documents_is_there():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        names = set(re.findall(r"\bmnslib(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")))
        assert sorted(name for name in names if not resolves(name)) == [], page.name


def test_templates_name_every_risk():
    of_cluster = {name for name in RiskName if told("risks")[name].get("of") == "cluster"}
    assert len(of_cluster) == 3
    for path in (ROOT / "parameters").glob("[123]0_*.azure.yaml"):
        text, is_prepared = path.read_text(), path.name.startswith("10")
        named = of_cluster if is_prepared else set(RiskName) - of_cluster
        assert all(name.value in text for name in named), path.name


FACE = [
    "ApplyError", "Fleet", "MnsError", "Namespace", "Plan", "Result", "SpecError",
    "StalePlanError", "UnsafePlanError", "__version__", "connect", "start",
]  # fmt: skip


def test_the_face_of_the_library_is_these_names_and_shows_no_others():
    assert mnslib.__all__ == dir(mnslib) == FACE
    assert all(hasattr(mnslib, name) for name in mnslib.__all__)


def test_notebooks_of_the_version_before_are_told_what_to_write():
    from mnslib.notebook import connect

    with pytest.raises(mnslib.MnsError, match=r"mns\.start\('20_onboard_namespace'"):
        connect("20_onboard_namespace", {})


EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "mnslib").rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_in_docstrings_come_out_as_they_stand(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_page_about_requests_explains_every_column_and_rule():
    page = (ROOT / "docs/requests.md").read_text(encoding="utf-8")
    assert tuple(column_words()) == COLUMNS
    for name, words in column_words().items():
        assert f"| `{name}`" in page
        assert f"| {words['help']} | `{words['example']}` |" in page
    assert all(f"`{rule}`" in page for rule in Policy.model_fields)
