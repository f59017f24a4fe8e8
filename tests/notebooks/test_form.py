"""The guided form as a person meets it: JupyterLab in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from mnslib.run.runner import open_copy

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 90_000
playwright.expect.set_options(timeout=SECONDS)
NEWS = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
IDLE = "Python 3 (ipykernel) | Idle"
FIRST = 5
"""Cells down to the form: text, parameters, setup, text, form."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder, sandbox_file):
    """The address of a JupyterLab over `folder`, whose kernels use the sandbox."""
    settings = folder / "config" / "labconfig"
    settings.mkdir(parents=True)
    (settings / "page_config.json").write_text(json.dumps(NEWS))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "run"}
    environment = {**os.environ, **{name: str(folder / one) for name, one in own.items()}}
    environment |= {"MNS_SANDBOX": str(sandbox_file), "HOME": str(folder)}
    options = ["--no-browser", "--allow-root", f"--port={port}", "--IdentityProvider.token=",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
               "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with (folder / "lab.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=folder, env=environment,
            stdout=log, stderr=log,
        )  # fmt: skip
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(URLError):
            urlopen(f"{address}/api").close()
            break
        time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(timeout=20)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Screen:
    """The notebook on a screen, and what a person puts in, counted."""

    def __init__(self, page):
        self.page, self.inputs = page, 0
        self.form = page.locator(".mns-form").last

    def run_to_the_form(self):
        self.run_first_cells()
        self.wait("editing")
        choices = self.form.get_by_label("Cluster").locator("option")
        playwright.expect(choices).to_have_count(5)
        playwright.expect(self.form.locator(".mns-busy")).to_have_count(0)

    def run_first_cells(self):
        self.page.locator(".jp-Notebook-cell").first.click()
        for number in range(1, FIRST + 1):
            self.press("Shift+Enter")  # which is lost while the one before still moves on
            self.page.get_by_text(f"Cell {number + 1}/").wait_for(timeout=SECONDS)

    def press(self, key):
        self.inputs += 1
        self.page.keyboard.press(key)

    def button(self, name):
        return self.form.get_by_role("button", name=name)

    def click(self, button):
        self.inputs += 1
        self.button(button).click()

    def write(self, label, text):
        self.inputs += 1
        self.form.get_by_label(label, exact=True).fill(text)

    def choose(self, label, text):
        self.inputs += 1
        field = self.form.get_by_label(label, exact=True)
        options = field.locator("option").all_inner_texts()
        field.select_option(index=next(n for n, one in enumerate(options) if text in one))

    def wait(self, *states):
        names = ", ".join(f".mns-form.mns-state-{state}" for state in states)
        self.page.locator(names).last.wait_for(timeout=SECONDS)

    def fill(self, name):
        self.choose("Cluster", "aks-prod-weu-2")
        self.write("Namespace", name)
        self.choose("Size", "small")

    def says(self, *texts, within=""):
        where = self.form.locator(within) if within else self.form
        for text in texts:
            playwright.expect(where.first).to_contain_text(text)

    def offenses(self):
        """Return what axe-core has against the form, in short."""
        from axe_core_python.sync_playwright import Axe

        options = {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
        found = Axe().run(self.page, context=".mns-form", options=options)
        return [
            (one["id"], node["html"][:160]) for one in found["violations"] for node in one["nodes"]
        ]


@pytest.fixture
def screen(lab, browser, folder, sandbox, request):
    """Opens a copy of the notebook with those parameters."""
    pages = []

    def call(width=1280, height=900, **parameters):
        given = {"runs_dir": str(folder / f"runs-{request.node.name}"), **parameters}
        copy = open_copy("20", parameters=given, runs_dir=folder)
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.goto(f"{lab}/lab/tree/{copy.relative_to(folder)}?reset")
        page.locator(".jp-Notebook-cell").first.wait_for(timeout=SECONDS)
        page.get_by_text(IDLE).wait_for(timeout=SECONDS)
        return Screen(page)

    yield call
    for page in pages:
        page.close()
    for pack in (ROOT / "handover" / "aks-prod-weu-2").glob("form-*"):
        shutil.rmtree(pack)


def written(sandbox):
    return [
        one["path"].rpartition("/")[2]
        for one in sandbox.requests("PUT")
        if re.search("/managedNamespaces/[^/]+$", one["path"])
    ]


def test_a_namespace_is_made_by_mouse_in_ten_inputs(screen, sandbox, tmp_path):
    one = screen()
    one.run_to_the_form()
    one.fill("form-mouse")
    one.click("Make the plan")
    one.wait("planned")
    one.says("Nothing written yet", "sha256:")
    assert written(sandbox) == []
    assert one.offenses() == []
    one.click("Approve this plan")
    one.wait("done")
    one.says("Written.", "form-mouse is as requested: created.")
    assert (written(sandbox), one.offenses()) == (["form-mouse"], [])
    assert one.inputs <= 10
    playwright.expect(one.form).not_to_contain_text("sha256:")  # nothing more to approve


def test_by_keyboard_errors_come_and_go_and_an_edit_makes_the_plan_stale(screen, sandbox):
    one = screen(subscription_id="00000000-0000-4000-8000-00000000a001",
                 resource_group="rg-platform", cluster_name="aks-prod-weu-9")  # fmt: skip
    one.run_first_cells()
    one.wait("invalid")
    one.says("aks-prod-weu-9 was not found", within=".mns-stage-where")
    one.form.get_by_label("Cluster").focus()
    one.page.keyboard.type("aks-prod-weu-2")
    one.press("Tab")
    one.page.keyboard.type("Team One")
    one.says("is not a namespace name", within=".mns-stage-where")
    one.write("CPU limits", "2 cores")
    one.write("Memory limits", "2GB")
    one.write("CPU requests", "1")
    one.write("Memory requests", "1Gi")
    one.says("is not an amount of CPU", "is not an amount of memory", within=".mns-stage-how-much")
    playwright.expect(one.form.locator(".mns-bad")).to_have_count(3)
    playwright.expect(one.button("Make the plan")).to_be_disabled()
    one.write("Namespace", "form-keys")
    one.write("CPU limits", "2")
    one.write("Memory limits", "2Gi")
    one.wait("editing")
    playwright.expect(one.form.locator(".mns-bad")).to_have_count(0)
    one.says("3 start", within=".mns-stage-how-much")
    one.write("Person or group", "grp-pay")
    one.press("Enter")
    one.says("grp-payments", within=".mns-stage-who")
    for button in ("Add", "Make the plan"):
        playwright.expect(one.button(button)).to_be_enabled()
        one.button(button).focus()
        one.press("Enter")
    one.wait("planned")
    one.says("namespace-user, writer", within=".mns-stage-who")
    one.form.get_by_label("Memory limits").focus()
    one.press("End")
    one.press("Backspace")
    one.wait("invalid")
    one.page.keyboard.type("i")
    one.wait("stale")
    playwright.expect(one.button("Approve")).to_be_disabled()
    assert written(sandbox) == []


def test_after_a_restart_and_run_all_twice_it_is_planned_and_nothing_is_written(screen, sandbox):
    one = screen()
    one.run_to_the_form()
    one.fill("form-again")
    one.click("Make the plan")
    one.wait("planned")
    for _ in range(2):
        before = one.form.locator(".mns-where").inner_text()
        one.page.get_by_role("button", name="Restart the kernel and run all cells").click()
        one.page.locator(".jp-Dialog .jp-mod-accept").click()
        where = one.form.locator(".mns-where")
        playwright.expect(where).not_to_have_text(before)
        one.wait("planned")
        one.says("Taken up from", "Nothing written yet: the plan waits")
        playwright.expect(one.form.get_by_label("Namespace")).to_have_value("form-again")
        playwright.expect(one.button("Approve")).to_be_enabled()  # but not pressed
    assert written(sandbox) == []


@pytest.mark.parametrize("how", ["stop", "interrupt"])
def test_a_stop_awaits_what_runs_and_starts_nothing_new(how, screen, sandbox, folder):
    one = screen()
    one.run_to_the_form()
    one.fill(f"form-{how}")
    one.click("Make the plan")
    one.wait("planned")
    # what is planned again is read slowly, so that the stop comes before the first write
    match = {"surface": "arm", "method": "GET", "path": "/managedNamespaces"}
    fault = {"name": "slow", "match": match, "effect": {"slow": 4}}
    sandbox.control("POST", "faults", {"faults": [fault]})
    one.click("Approve this plan")
    one.says("planning again")
    if how == "stop":
        one.click("Stop")
    else:
        one.page.get_by_role("button", name="Interrupt the kernel").click()
    one.says("started nothing new")
    sandbox.control("POST", "faults", {})
    assert written(sandbox) == []
