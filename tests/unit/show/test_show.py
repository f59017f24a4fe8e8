"""What belongs together is shown together: open, or under one line that unfolds it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from mnslib.show.displays import EMPTY, FOLD, Actions, Names, Sentence, Stack, Table
from mnslib.show.html import report_html


def shown(text: str, summary: str = "") -> dict[str, Any]:
    metadata = {FOLD: summary} if summary else {}
    data = {"text/html": f"<p>{text}</p>", "text/plain": text}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


@pytest.fixture
def report_of(tmp_path):
    """Makes the report of a notebook with one section of these outputs."""

    def make(*outputs: dict[str, Any]) -> str:
        cells = [
            {"cell_type": "markdown", "metadata": {}, "source": "# Title"},
            {"cell_type": "markdown", "metadata": {}, "source": "## Who\n\nWhy it is asked."},
            {
                "cell_type": "code", "metadata": {}, "source": "run.show()", "execution_count": 1,
                "outputs": list(outputs),
            },
        ]  # fmt: skip
        (tmp_path / "notebook.ipynb").write_text(json.dumps({"cells": cells}))
        result = dict.fromkeys(("notebook", "headline", "environment", "target"), "x")
        moment = "2026-11-02T06:12:00Z"
        result |= {"started_utc": moment, "finished_utc": moment, "status": "done"}
        return report_html(
            tmp_path / "notebook.ipynb",
            result | {"parameters": {}, "summary": {}, "items": [], "artifacts": []},
        )

    return make


def test_outputs_beside_each_other_with_one_line_are_folded_under_it_and_others_stay_open(
    report_of,
) -> None:
    html = report_of(
        shown("open"), shown("chart", "By day"), shown("rows", "By day"), shown("more", "<b>Else")
    )
    first, by_day, other, _ = html.split("<details>")
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
    files = Stack([Table(columns=["File"], rows=[["a.csv"]])], fold="Files")
    view = Stack(["All:", files, None])
    assert repr(view) == "All:\n\nFile\na.csv"
    assert repr(files).startswith("Files\n\nFile")
    assert "a.csv" in view._repr_html_()


def published(value: Any) -> list[dict[str, Any]]:
    """What a cell that ends with this value leaves in its notebook."""
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.display_formatter.format(value)
    InteractiveShell.clear_instance()
    if not captured.outputs:
        data, metadata = shell.display_formatter.format(value)
        return [{"output_type": "display_data", "data": data, "metadata": metadata}]
    return [
        {"output_type": "display_data", "data": one.data, "metadata": one.metadata}
        for one in captured.outputs
    ]


def test_each_part_of_a_view_is_an_output_that_says_what_it_is() -> None:
    table = Table(columns=["File"], rows=[["a.csv"]])
    outputs = published(Stack(["All:", Stack([table], fold="Files"), Table(columns=[], rows=[])]))
    assert [output["metadata"] for output in outputs] == [
        {},
        {FOLD: "Files"},
        {EMPTY: True},
    ]
    assert outputs[1]["data"]["text/plain"] == "File\na.csv"


def test_a_section_in_which_nothing_was_found_is_one_line(report_of) -> None:
    nothing = [
        Sentence("No pod was refused within the last hour.", is_empty=True),
        Table(columns=["Namespace"], rows=[], empty="No <quota> could be read: 403."),
    ]
    html = report_of(*published(Stack(nothing)))
    line = "<h2>Who</h2> <p>No pod was refused within the last hour. No &lt;quota&gt; could be read"
    assert line in html
    assert "Why it is asked" not in html


def test_a_fold_in_which_nothing_was_found_is_one_line(report_of) -> None:
    nothing = Stack([Actions(actions=[], empty="No raise.")], fold="To do")
    html = report_of(*published(Stack(["Found.", nothing])))
    assert '<p class="nothing"><b>To do:</b> No raise.</p>' in html
    assert "Why it is asked" in html
