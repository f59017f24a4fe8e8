"""What every template keeps: nothing but `if`, `for`, macros and filters, and all is escaped."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError, nodes

import mnslib
from mnslib.show import templates
from mnslib.show.templates import as_html, render

PACKAGE = Path(mnslib.__file__).parent
FOLDER = PACKAGE / "show" / "templates"
TEMPLATES = sorted(FOLDER.glob("*.j2"))
ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)


@pytest.fixture
def in_folder(monkeypatch, tmp_path):
    """Write templates of a test's own into the environments."""
    from jinja2 import FileSystemLoader

    templates._environment.cache_clear()
    monkeypatch.setattr(templates, "PackageLoader", lambda *_: FileSystemLoader(tmp_path))
    yield lambda name, text: (tmp_path / name).write_text(text)
    templates._environment.cache_clear()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_nothing_but_if_for_macros_and_filters(path):
    tree = Environment().parse(path.read_text())
    macros = {macro.name for macro in tree.find_all(nodes.Macro)} | {"caller"}
    for source in tree.find_all(nodes.FromImport):
        macros |= {name if isinstance(name, str) else name[1] for name in source.names}
    for call in tree.find_all(nodes.Call):
        assert isinstance(call.node, nodes.Name), f"line {call.lineno}"
        assert call.node.name in macros, f"line {call.lineno}"
    assert not list(tree.find_all(ARITHMETIC))


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_html_or_text_by_its_name_and_quotes_every_attribute(path):
    assert path.name.endswith((".html.j2", ".txt.j2"))
    text = path.read_text()
    assert not re.search(r"=\s*\{\{", re.sub(r"\{%.*?%\}", "", text, flags=re.DOTALL))
    assert not re.search(r"\|\s*safe\b|autoescape|\son\w+=|<script", text)
    for value in re.findall(r'(?:href|src)="\{\{(.*?)\}\}', text):
        assert re.search(r"\|\s*(href|local|embedded)\b", value), value


@pytest.mark.parametrize("folder", [".", "cannot/be/written"])
def test_a_template_is_compiled_once_where_that_can_be_kept(monkeypatch, tmp_path, folder):
    compiled, compile_template = list[str](), Environment.compile

    def counted(self, source, name, filename):
        compiled.append(name)
        return compile_template(self, source, name, filename)

    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(templates, "cache_from_source", lambda _: str(tmp_path / folder / "x.pyc"))
    monkeypatch.setattr(Environment, "compile", counted)
    for _process in range(2):
        templates._environment.cache_clear()
        assert templates.render("displays.txt.j2").strip() == ""
    templates._environment.cache_clear()
    assert compiled == ["displays.txt.j2"] * (1 if folder == "." else 2)


def test_only_one_module_calls_something_html():
    modules = [path for path in PACKAGE.rglob("*.py") if "Markup" in path.read_text()]
    assert modules == [PACKAGE / "show" / "templates.py"]


def test_html_is_escaped_in_text_attributes_and_links_and_text_is_not(in_folder):
    hostile = "<script>\"'\x1b[31m"
    in_folder("x.html.j2", '<a title="{{ x }}" href="{{ x|href }}">{{ x }}</a>')
    in_folder("x.txt.j2", "{{ x }}")
    html = render("x.html.j2", x=hostile)
    assert "<script" not in html
    assert "\x1b" not in html
    assert html.count('"') == 4
    assert 'href="javascript%3Aalert' in render("x.html.j2", x="javascript:alert(1)")
    assert render("x.txt.j2", x="<b> & c") == "<b> & c"
    assert "\x1b" not in render("x.txt.j2", x=hostile)


def test_what_says_that_it_is_html_is_taken_as_it_is(in_folder):
    in_folder("x.html.j2", "{{ x }}")
    assert render("x.html.j2", x=as_html("<b>1</b>")) == "<b>1</b>"
    assert render("x.html.j2", x=render("x.html.j2", x="<")) == "&lt;"


def test_a_value_that_is_missing_is_an_error(in_folder):
    in_folder("x.html.j2", "{{ x.y }}")
    with pytest.raises(UndefinedError):
        render("x.html.j2", x={})


def test_filters_write_the_notation_of_the_project(in_folder):
    in_folder(
        "x.txt.j2",
        "{{ 1|cores }}, {{ none|memory }}, {{ 0.9375|percent }}, {{ 2|count('run') }}, "
        "{{ 1.5|times }}, {{ 223|duration }}, {{ ['a', 'b']|listing }}, {{ 8|quantity('cpu') }}",
    )
    expected = "1 core, unknown, 94 %, 2 runs, 1.5×, 3 min 43 s, a and b, 8 cores"
    assert render("x.txt.j2").replace("1.50×", "1.5×") == expected


def test_what_is_compiled_as_text_is_never_used_in_a_page():
    """A page takes macros from files of text, which are compiled for both."""
    step = {"kind": "raise", "namespace_name": "<script>"}
    for first in (False, True):
        found = {}
        for is_html in (first, not first):
            templates._environment.cache_clear()
            made = templates._environment(is_html).get_template("owner.txt.j2")
            found[is_html] = str(made.module.title(step)).strip()
        assert found == {
            True: "Ask for more in &lt;script&gt;", False: "Ask for more in <script>"
        }  # fmt: skip
    templates._environment.cache_clear()
