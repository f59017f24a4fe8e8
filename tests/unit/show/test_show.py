"""What belongs together is shown together: open, or under one line that unfolds it."""

from __future__ import annotations

from typing import Any

from mnslib.show.displays import FOLD, Names, Table
from mnslib.show.outputs import read_body


def shown(text: str, summary: str = "") -> dict[str, Any]:
    metadata = {FOLD: summary} if summary else {}
    data = {"text/html": f"<p>{text}</p>", "text/plain": text}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def body_of(*outputs: dict[str, Any]) -> str:
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
        {"cell_type": "markdown", "metadata": {}, "source": "## Who"},
        {
            "cell_type": "code", "metadata": {}, "source": "run.show()", "execution_count": 1,
            "outputs": list(outputs),
        },
    ]  # fmt: skip
    return "".join(read_body({"cells": cells}).sections)


def test_outputs_beside_each_other_with_one_line_are_folded_under_it_and_others_stay_open() -> None:
    html = body_of(
        shown("open"), shown("chart", "By day"), shown("rows", "By day"), shown("more", "<b>Else")
    )
    first, by_day, other = html.split("<details>")
    assert "open" in first
    assert by_day.index("<summary>By day</summary>") < by_day.index("chart") < by_day.index("rows")
    assert "more" not in by_day
    assert "<summary>&lt;b&gt;Else</summary>" in other


def test_an_index_holds_every_name_as_text() -> None:
    names = [f"team-{number}" for number in range(500)]
    html = Names("All namespaces", [*names, "<script>"])._repr_html_()
    assert all(f"<li>{name}</li>" in html for name in names)
    assert "<script>" not in html
    assert html.count("<li>") == 501


def test_what_is_folded_is_there_in_a_notebook_and_in_plain_text() -> None:
    from mnslib.show.show import Folded, View

    view = View("files", (Folded("Files", (Table(columns=["File"], rows=[["a.csv"]]),)),))
    assert "Files\n\nFile\na.csv" in repr(view)
    assert "a.csv" in view._repr_html_()
