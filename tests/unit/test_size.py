"""What `make size` counts."""

from __future__ import annotations

from tests import size


def test_lines_go_to_the_room_of_their_folder_and_texts_that_stand_alone_are_no_statements(
    tmp_path,
):
    modules = {
        "show/charts/a.py": '"""Says."""\n\nX = 1\n',
        "cli/b.py": 'def one():\n    """Return.\n\n    Once.\n    """\n    return 1\n',
        "c.py": "import os\n",
        "fleet.py": "",
    }
    for name, text in modules.items():
        path = tmp_path / "mnslib" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    rooms = size.measured(tmp_path)
    assert {name: (r.lines, r.statements) for name, r in rooms.items() if r.modules} == {
        "charts": (3, 1), "run and cli": (6, 2), "vocabulary": (1, 1), "fleet": (0, 0),
    }  # fmt: skip
    assert (rooms["run and cli"].public, rooms["run and cli"].docstring_lines) == (1, 3)


def test_the_report_names_every_budget(capsys):
    size.main([])
    said = capsys.readouterr().out
    assert all(name in said and f"{budget:,}" in said for name, budget in size.BUDGETS.items())


def test_places_that_keep_their_own_format_are_counted_as_the_formatter_would_write_them(tmp_path):
    path = tmp_path / "packed.py"
    path.write_text("X = [\n    1, 2,\n    3,\n]  # fmt: skip\n", encoding="utf-8")
    assert size.formatted([path]) == (1, 5)
