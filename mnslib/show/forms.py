"""The guided form of notebook 20, drawn with ipywidgets: fields, messages, bars, boxes, buttons.

It knows no run: what it shows and whom it tells it is handed as `behind`, see `run/guided.py`. What
is written on it is in `forms.yaml` and `templates/forms.html.j2`, how it looks in `forms.css`. It
is only imported where it is shown. A widget's state holds no approval and nothing secret.
"""

import re
import threading
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import ipywidgets as widgets
from IPython.display import Javascript, display

from mnslib.models import QUOTA_FIELDS
from mnslib.packaged import packaged
from mnslib.quantities import RESOURCE_WORDS
from mnslib.requests.cells import KIND_WORDS
from mnslib.requests.columns import COLUMN_WORDS
from mnslib.show.form_facts import principals
from mnslib.show.tables import TOKENS, told
from mnslib.show.templates import render_part, sentence

WORDS = packaged("mnslib.show", "forms")
_PRINCIPAL = re.compile(r"(group|user|sp):[0-9a-fA-F-]{36}")
_FIELDS, _STAGES, _BUTTONS = WORDS["fields"], WORDS["stages"], WORDS["buttons"]


_OWN_KEYS = """
const own = () => {
  const area = element.closest(".jp-OutputArea");
  const mark = (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true");
  area ? area.addEventListener("focusin", mark) : setTimeout(own, 50);
};
element.closest && own();
"""
"""JupyterLab takes a key in a list or on a box for a command: `a` would add a cell. Its own mark is
for what reads its keys itself; the element is put in its place a moment later."""


class Form:
    """The form; `root` is its widget."""

    def __init__(self, behind: Any) -> None:
        self.behind = behind
        self._lock = threading.RLock()
        self._state = ""
        self._fields: dict[str, Any] = {}
        self._handlers: dict[str, Callable[[Any], None]] = {}
        self._notes: dict[str, Any] = {}
        self._bar = widgets.HTML()
        self._buttons = {name: self._button(name) for name in _BUTTONS}
        left = [self._where(), self._who(), self._how_much(), self._save()]
        right = [self._room(), self._plan(), self._approve(), self._progress(), self._done()]
        body = widgets.HBox([widgets.VBox(left), widgets.VBox(right)])
        body.add_class("mns-body")
        self.root = widgets.VBox([widgets.HTML(f"<style>{_style()}</style>"), self._bar, body])
        self.root.add_class("mns-form")
        self._buttons["approve"].button_style = self._buttons["plan"].button_style = "primary"
        behind.watch.append(self.refresh)
        self.refresh()

    def show(self) -> Any:
        """Return what a cell shows, after its keys were made its own."""
        display(Javascript(_OWN_KEYS))  # type: ignore[no-untyped-call]
        return self.root

    # Its stages

    def _stage(self, key: str, children: list[Any]) -> Any:
        number = [*_STAGES].index(key) + 1
        head = widgets.HTML(_said("heading", number, _STAGES[key]))
        box = widgets.VBox([head, *children])
        box.add_class(f"mns-stage-{key}")
        return box

    def _where(self) -> Any:
        self._unfit = widgets.HTML()
        return self._stage("where", [*self._of_stage("where"), self._unfit])

    def _who(self) -> Any:
        who = WORDS["who"]
        self._search = widgets.Text(
            description=who["search"], placeholder=who["example"], continuous_update=False
        )
        self._search.observe(lambda event: self._look_up(event["new"].strip()), "value")
        self._hits = widgets.Dropdown(description=who["found"])
        self._role = widgets.Dropdown(
            description=who["role"], options=[*who["roles"].items()], value="writer"
        )
        self._grants = widgets.VBox()
        self._notes["access"] = widgets.HTML()
        pair = _pair([self._search, self._role])
        children = [pair, self._hits, self._buttons["grant"], self._grants, self._notes["access"]]
        return self._stage("who", children)

    def _how_much(self) -> Any:
        size, *four = self._of_stage("how-much")
        pairs = [_pair(four[:2]), _pair(four[2:])]
        self._fit = widgets.HTML()
        self._more = widgets.VBox(self._of_stage("more"))
        self._more.layout.display = "none"
        children = [size, *pairs, self._fit, self._buttons["raise"], self._buttons["more"]]
        return self._stage("how-much", [*children, self._more])

    def _save(self) -> Any:
        self._file = widgets.Text(description=WORDS["file"], continuous_update=False)
        self._replace = widgets.Checkbox(description=WORDS["replace"], indent=False)
        row = widgets.HBox([self._file, self._replace, self._buttons["save"]])
        row.add_class("mns-save")
        return row

    def _room(self) -> Any:
        self._rooms = widgets.HTML()
        return self._rooms

    def _plan(self) -> Any:
        self._planned, self._refused = widgets.HTML(), widgets.HTML()
        first = widgets.HBox([self._buttons["plan"], self._buttons["reset"]])
        return self._stage("plan", [first, self._refused, self._planned])

    def _approve(self) -> Any:
        self._risks = widgets.VBox()
        return self._stage("approve", [self._risks, self._buttons["approve"]])

    def _progress(self) -> Any:
        self._phases = widgets.HTML()
        return self._stage("progress", [self._phases, self._buttons["stop"]])

    def _done(self) -> Any:
        self._outcome = widgets.HTML()
        return self._stage("done", [self._outcome])

    def _of_stage(self, stage: str) -> list[Any]:
        """Return the fields of a stage, each with the message below it."""
        found = []
        for name, about in _FIELDS.items():
            if about["stage"] == stage and (
                name in ("cluster", "tier") or name in self.behind.values
            ):
                found.append(self._field(name, about))
        return found

    def _field(self, name: str, about: Mapping[str, str]) -> Any:
        if about["kind"] == "text":
            made = widgets.Text(description=about["label"], placeholder=about["example"])
        else:
            words = [word.value for word in COLUMN_WORDS.get(name, ())]
            none = (about["none"], "")
            made = widgets.Dropdown(
                description=about["label"], options=[none, *((word, word) for word in words)]
            )
        self._handlers[name] = self._on_change(name)
        made.observe(self._handlers[name], "value")
        self._fields[name], self._notes[name] = made, widgets.HTML()
        return widgets.VBox([made, self._notes[name]])

    def _on_change(self, name: str) -> Callable[[Any], None]:
        behind = self.behind
        special = {"cluster": behind.choose, "tier": behind.size}

        def changed(event: Any) -> None:
            if name in special:
                special[name](event["new"] or "")
            elif behind.read(name, event["new"]) != behind.values[name]:
                behind.change(**{name: event["new"]})

        return changed

    def _button(self, name: str) -> Any:
        made = widgets.Button(description=_BUTTONS[name])
        behind = self.behind
        calls: dict[str, Callable[[], None]] = {
            "grant": self._add,
            "more": self._unfold,
            "raise": behind.raise_quota,
            "plan": behind.plan,
            "approve": behind.approve,
            "again": behind.approve,
            "stop": behind.stop,
            "save": self._keep,
            "reset": behind.reset,
        }
        made.on_click(lambda _: calls[name]())
        return made

    def _look_up(self, text: str) -> None:
        if text and not _PRINCIPAL.fullmatch(text):
            self.behind.search(text)

    def _add(self) -> None:
        typed = self._search.value.strip()
        principal = typed if _PRINCIPAL.fullmatch(typed) else self._hits.value
        if principal:
            self.behind.grant(principal, self._role.value)
            self._search.value = ""

    def _keep(self) -> None:
        file = self._file.value.strip() or self._file.placeholder
        self.behind.save(file, replaces=self._replace.value)

    def _unfold(self) -> None:
        self._more.layout.display = "none" if self._more.layout.display is None else None

    # What it shows

    def refresh(self) -> None:
        """Show what is behind it now; called on any thread."""
        with self._lock:
            behind, state = self.behind, str(self.behind.state)
            if self._state != state:
                self.root.remove_class(f"mns-state-{self._state}")
                self.root.add_class(f"mns-state-{state}")
                self._state = state
            where = behind.stage, state, behind.busy, behind.taken_from, behind.directory
            _show(self._bar, "bar", _STAGES, *where)
            self._refresh_fields()
            self._refresh_grants()
            self._refresh_plan(state)
            self._refresh_end(state)

    def _refresh_fields(self) -> None:
        behind = self.behind
        fit = [one for one in behind.clusters.values() if not one.unfit]
        options = [(sentence("forms.txt.j2", "cluster", one), str(one.id)) for one in fit]
        chosen = str(behind.cluster) if behind.cluster in behind.clusters else ""
        self._options("cluster", options, next((i for _, i in options if i == chosen), ""))
        _show(self._unfit, "unfit", [one for one in behind.clusters.values() if one.unfit])
        four = {name: behind.text_of(name) for name in QUOTA_FIELDS}
        sizes = [(_size(name, size), name) for name, size in behind.sizes.items()]
        held = next(
            (n for n, size in behind.sizes.items() if all(four[k] == size[k] for k in size)), ""
        )
        self._options("tier", sizes, held)
        for name, made in self._fields.items():
            made.disabled = behind.is_locked
            is_own = name not in ("cluster", "tier")
            if is_own and behind.read(name, made.value) != behind.values[name]:
                made.value = behind.text_of(name)
            self._note(name, made)
        _show(self._fit, "fit", behind.fit)
        _visible(self._buttons["raise"], bool(behind.fit and behind.fit.short))
        bars = [_bar(resource, *both) for resource, both in behind.rooms.items()]
        _show(self._rooms, "rooms", behind.cluster and behind.cluster.cluster_name, bars)

    def _options(self, name: str, options: list[tuple[str, str]], value: str) -> None:
        made, all_of = self._fields[name], [(_FIELDS[name]["none"], ""), *options]
        if [*made.options] != all_of or made.value != value:
            made.unobserve(self._handlers[name], "value")  # nobody has chosen anything
            if [*made.options] != all_of:
                made.options = all_of
            made.value = value
            made.observe(self._handlers[name], "value")

    def _note(self, name: str, made: Any) -> None:
        behind = self.behind
        columns = ["cluster_name", "resource_group", "subscription_id"]
        columns = columns if name == "cluster" else [name]
        wrong = " ".join(behind.problems[one] for one in columns if one in behind.problems)
        (made.add_class if wrong else made.remove_class)("mns-bad")
        if wrong:
            _show(self._notes[name], "wrong", wrong)
        elif name == "namespace_name":
            _show(self._notes[name], "name_is", behind.name_is)
        elif name == "cluster":
            _show(self._notes[name], "badges", behind.clusters.get(behind.cluster))
        else:
            _show(self._notes[name], "needed", behind.needed.get(name), name in QUOTA_FIELDS)

    def _refresh_grants(self) -> None:
        roles = principals(self.behind.values.get("access", ()))
        names = [
            _said("grant", principal, self.behind.names.get(principal.partition(":")[2]), held)
            for principal, held in roles.items()
        ]
        found = [
            (sentence("forms.txt.j2", "principal", *one), f"{KIND_WORDS[one[0].kind]}:{one[0].id}")
            for one in self.behind.found
        ]
        if len(found) > 1:  # the person says which is meant
            found = [(WORDS["who"]["none"], ""), *found]
        if [*self._hits.options] != found:
            self._hits.options = found
            self._hits.value = found[0][1] if found else None
        _visible(self._hits, bool(found))
        if names != [row.children[0].value for row in self._grants.children]:
            rows = []
            for principal, said in zip(roles, names, strict=True):
                gone = widgets.Button(description="Remove", tooltip=f"Remove {principal}")
                gone.on_click(lambda _, one=principal: self.behind.ungrant(one))
                rows.append(widgets.HBox([widgets.HTML(said), gone]))
            self._grants.children = rows
        access = self.behind.problems.get("access") or self.behind.needed.get("access", "")
        _show(self._notes["access"], "wrong", access)

    def _refresh_plan(self, state: str) -> None:
        behind = self.behind
        self._buttons["plan"].disabled = not behind.may_plan
        self._buttons["approve"].disabled = not behind.may_approve
        self._buttons["reset"].disabled = bool(behind.busy)
        _visible(self._buttons["reset"], bool(behind.taken_from))
        told = "" if state in ("done", "partly") else behind.message
        _show(self._refused, "refused", told)
        is_over = state in ("done", "partly")
        sentence, table = behind.shown or ("", None)
        digest = behind.planned.digest if behind.planned else ""
        _show(self._planned, "plan", sentence, None if is_over else table, digest, state)
        risks = [] if is_over else [*behind.risks]
        if [box.risk for box in self._risks.children] != risks:
            self._risks.children = [self._box(name) for name in risks]
        for box in self._risks.children:
            box.value, box.disabled = box.risk in behind.allow, state != "planned"

    def _box(self, name: str) -> Any:
        words = told("risks")[name]
        box = widgets.Checkbox(description=f"{name}: {words['means']}", indent=False)
        box.risk = name
        box.observe(lambda event: self.behind.tick(name, is_accepted=event["new"]), "value")
        return box

    def _refresh_end(self, state: str) -> None:
        behind = self.behind
        is_going = state in ("approved", "writing")
        told = behind.told, WORDS["steps"], behind.progress, behind.seconds, WORDS["usual"]
        if is_going:
            _show(self._phases, "phases", *told, behind.is_stopping)
        _visible(self._phases, is_going)
        self._buttons["stop"].disabled = not is_going or behind.is_stopping
        is_over = state in ("done", "partly")
        steps = ("read_back", "hand_over", "prove") if is_over else ()
        parts = [shown for step in steps if (shown := behind.told.get(step))]
        message = behind.message if is_over else ""
        _show(self._outcome, "done", parts, message, state, behind.saved)
        name = behind.values["namespace_name"] or "new"
        self._file.placeholder = WORDS["example_file"].format(name=name)


def _style() -> str:
    css = resources.files("mnslib.show").joinpath("forms.css").read_text(encoding="utf-8")
    return re.sub(r"VAR_([\w-]+)", lambda found: TOKENS[found[1]], css)


def _said(macro: str, *values: Any) -> str:
    return str(render_part("forms.html.j2", macro, *values)).strip()


def _show(made: Any, macro: str, *values: Any) -> None:
    said = _said(macro, *values)
    if made.value != said:
        made.value = said
    _visible(made, bool(said))


def _visible(made: Any, is_visible: bool) -> None:
    display = None if is_visible else "none"
    if made.layout.display != display:
        made.layout.display = display


def _pair(children: list[Any]) -> Any:
    box = widgets.HBox(children)
    box.add_class("mns-pair")
    return box


def _size(name: str, size: Mapping[str, str]) -> str:
    return f"{name}: {', '.join(size.values())}"


def _bar(resource: str, before: Any, after: Any) -> dict[str, Any]:
    """Return a bar's parts and its mark, in percent of what may be committed."""
    most = float(before.committed - (before.over_limit or 0)) if before.max_ratio else 0.0
    own = max(0.0, float(after.committed - before.committed))
    whole = max(most, float(before.allocatable), float(after.committed), 1e-9)
    requested = min(float(before.requested), float(before.committed))
    parts = [
        ("requested", 100 * requested / whole),
        ("committed", 100 * (float(before.committed) - requested) / whole),
        ("own", 100 * own / whole),
    ]
    mark = 100 * float(before.without_largest_node) / whole
    name = f"{resource}_request"
    return {
        "resource": resource,
        "title": RESOURCE_WORDS.get(name, name),
        "left": after.headroom,
        "own": own,
        "committed": after.committed,
        "parts": parts,
        "mark": mark if 0 <= mark <= 100 else None,
    }
