"""The examples for schedulers are what they claim to be; cron's is run as cron would run it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from lightkube.codecs import load_all_yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mnslib.cli import main
from mnslib.signals import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "schedules"
PAGES = ["azure-pipelines", "cron", "github-actions", "kubernetes", "systemd"]
PROGRAM = "/opt/mnslib/.venv/bin/mns"
CRON_LINE = re.compile(r"((?:[\d*,/-]+ +){5})(/.+)")


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def cron_jobs():
    return [found[2] for line in text("mnslib.crontab").splitlines()
            if (found := CRON_LINE.fullmatch(line))]  # fmt: skip


def container():
    job = next(
        item for item in yaml.safe_load_all(text("cronjob.yaml")) if item["kind"] == "CronJob"
    )
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def commands():
    """Return what each example starts, as words after `mns`."""
    steps = yaml.safe_load(text("github-actions.yml"))["jobs"]["provision"]["steps"]
    (github,) = [s["run"] for s in steps if s.get("run", "").startswith("mns")]
    tasks = yaml.safe_load(text("azure-pipelines.yml"))["jobs"][0]["steps"]
    (azure,) = [s["inputs"]["inlineScript"] for s in tasks if s.get("task") == "AzureCLI@2"]
    units = text("mnslib-bulk.service") + text("mnslib-analysis.service")
    systemd = re.findall(rf"^Exec\w+={PROGRAM} (.+)$", units, re.M)
    cron = [job.removeprefix(PROGRAM).partition(">>")[0] for job in cron_jobs()]
    lines = [*cron, *systemd, github.removeprefix("mns"), azure.removeprefix("mns")]
    return [*map(shlex.split, lines), container()[1]["args"], *weekly_commands()]


def weekly_blocks():
    """Return the parts of files that the page on the weekly analysis gives to copy."""
    return [
        yaml.safe_load(block) for block in re.findall(r"```yaml\n(.+?)```", text("weekly.md"), re.S)
    ]


def weekly_commands():
    steps, job = weekly_blocks()
    (github,) = [step["run"] for step in steps if "run" in step]
    (alone,) = re.findall(r"^    mns (.+)$", text("weekly.md"), re.M)
    return [shlex.split(alone), shlex.split(github.removeprefix("mns")), job["args"]]


def test_every_page_says_what_persists_what_codes_mean_how_to_resume_and_to_take_back():
    assert sorted(path.stem for path in FOLDER.glob("*.md")) == sorted([*PAGES, "README", "weekly"])
    for page in PAGES:
        content = text(f"{page}.md")
        assert f"({page}.md)" in text("README.md")
        for point in (
            "**`runs_dir`**",
            "**Exit codes**",
            "**To resume**",
            "**To take back**",
            "mns resume RUN",
            "mns undo RUN",
        ):
            assert point in content, f"{page}: {point}"
    files = {path.name for path in FOLDER.iterdir() if path.suffix != ".md"}
    linked = {link for page in [*PAGES, "weekly"]
              for link in re.findall(r"\]\(([^)]+)\)", text(f"{page}.md"))}  # fmt: skip
    assert files == {link for link in linked if not link.endswith(".md")}


def test_every_example_starts_a_command_that_exists_with_options_it_takes():
    found = commands()
    assert [words[0] for words in found].count("run") == len(PAGES) + 5
    for words in found:
        command = main.commands[words[0]]
        given = command.make_context(words[0], words[1:]).params
        assert isinstance(command, click.Command)
        assert given["runs_dir"].endswith("runs")
        if words[0] == "run":
            name = {"30": "30_provision_in_bulk", "40": "40_analyze_quota_utilization"}
            assert given["file"].name == f"{name[given['notebook']]}.prod.yaml"


@pytest.mark.parametrize(
    ("name", "schema", "options"),
    [
        ("github-actions.yml", "vendor.github-workflows", []),
        (
            "azure-pipelines.yml",
            "vendor.azure-pipelines",
            ["--data-transform", "azure-pipelines", "--regex-variant", "nonunicode"],
        ),
    ],
)
def test_pipelines_fit_their_schema(name, schema, options, tmp_path):
    def check(path):
        command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", schema]
        done = subprocess.run(
            [*command, *options, path], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    code, said = check(FOLDER / name)
    assert code == 0, said
    wrong = tmp_path / name
    wrong.write_text(text(name).replace("steps:", "stepps:"))
    assert check(wrong)[0] == 1


def test_pipelines_sign_in_without_a_secret():
    workflow = yaml.safe_load(text("github-actions.yml"))
    assert workflow["permissions"] == {"id-token": "write", "contents": "read"}
    login = next(s for s in workflow["jobs"]["provision"]["steps"] if "login" in s.get("uses", ""))
    assert set(login["with"]) == {"client-id", "tenant-id", "subscription-id"}
    assert set(re.findall(r"secrets\.(\w+)", text("github-actions.yml"))) == {"MNS_NOTIFY_URL"}


def test_the_cron_job_holds_only_fields_that_kubernetes_has():
    found = list(yaml.safe_load_all(text("cronjob.yaml")))
    assert [item["kind"] for item in found] == [
        "ServiceAccount", "PersistentVolumeClaim", "CronJob", "CronJob",
    ]  # fmt: skip
    for given, read in zip(found, load_all_yaml(text("cronjob.yaml")), strict=True):
        assert read.to_dict() == given  # an unknown field is lost on the way


def test_the_cron_job_uses_workload_identity_and_keeps_its_runs():
    account, claim, job, _ = yaml.safe_load_all(text("cronjob.yaml"))
    template = job["spec"]["jobTemplate"]["spec"]["template"]
    pod, mns = container()
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["serviceAccountName"] == account["metadata"]["name"]
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"]
              if "persistentVolumeClaim" in v}  # fmt: skip
    assert claims == {"runs": claim["metadata"]["name"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in mns["volumeMounts"]}
    assert mounts["runs"] == mns["args"][mns["args"].index("--runs") + 1]
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    assert job["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_cron_jobs_mount_no_token_and_prune_the_volume_that_the_runs_are_in():
    account, claim, *jobs = yaml.safe_load_all(text("cronjob.yaml"))
    pods = [job["spec"]["jobTemplate"]["spec"]["template"]["spec"] for job in jobs]
    assert [one["automountServiceAccountToken"] for one in (account, *pods)] == [False] * 3
    (prune,) = pods[1]["containers"]
    assert prune["args"] == ["runs", "--prune", "90", "--runs", "/var/lib/mnslib/runs"]
    assert {"name": "runs", "mountPath": prune["args"][-1]} in prune["volumeMounts"]
    name = claim["metadata"]["name"]
    volume = {"name": "runs", "persistentVolumeClaim": {"claimName": name}}
    assert all(volume in pod["volumes"] for pod in pods)


def test_the_constraints_pin_what_the_project_needs_with_hashes_and_no_address():
    content = text("constraints.txt")
    assert "://" not in content
    pinned = {canonicalize_name(name): version for name, version in
              re.findall(r"^([\w.-]+)(?:\[\w,]+)?==(\S+) \\$", content, re.M)}  # fmt: skip
    entries = re.split(r"^(?=[\w.-]+(?:\[[\w,]+\])?==)", content, flags=re.M)[1:]
    assert len(entries) == len(pinned)
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for asked in map(Requirement, project["project"]["dependencies"]):
        assert asked.specifier.contains(pinned[canonicalize_name(asked.name)]), asked
    for name in ("Dockerfile", "github-actions.yml", "azure-pipelines.yml"):
        assert "--require-hashes --requirement" in text(name)
        assert "constraints.txt" in text(name)


def test_the_weekly_parts_fit_into_the_files_that_they_are_meant_for():
    steps, job = weekly_blocks()
    workflow = yaml.safe_load(text("github-actions.yml"))
    known = [
        step for step in workflow["jobs"]["provision"]["steps"] if "mns" in step.get("run", "")
    ]
    assert len(known) == 1
    assert [step["with"]["path"] for step in steps if "uses" in step] == ["runs", "runs"]
    assert all(
        step["with"]["key"] == "mnslib-runs-${{ github.run_id }}"
        for step in steps
        if "with" in step
    )
    assert set(job) == {"schedule", "args"}
    _, cron_job_container = container()
    same = [word for word in job["args"] if word in cron_job_container["args"]]
    assert same == ["run", "-f", "--runs", "/var/lib/mnslib/runs"]
    assert "SuccessExitStatus=2" in text("mnslib-analysis.service")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    program = tmp_path / "mns"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    names = [
        f"mnslib-{job}.{kind}" for job in ("bulk", "analysis") for kind in ("service", "timer")
    ]
    for name in names:
        (tmp_path / name).write_text(text(name).replace(PROGRAM, str(program)))
    files = [tmp_path / name for name in names]
    done = subprocess.run(
        ["systemd-analyze", "verify", *files], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_crontab_runs_as_cron_runs_it(sandbox_file, sandbox, tmp_path):
    """Through sh, in a home folder, with nothing in the environment but what cron sets."""
    program, folder = tmp_path / "opt/.venv/bin/mns", tmp_path / "etc"
    program.parent.mkdir(parents=True)
    folder.mkdir()
    inherited = {"MNS_SANDBOX": str(sandbox_file), "PYTHONPATH": str(ROOT)}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in inherited.items())
    program.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(sys.executable)} -m mnslib "$@"\n')
    program.chmod(0o755)
    for name in ("30_provision_in_bulk", "40_analyze_quota_utilization"):
        sample = (ROOT / f"parameters/{name}.sandbox.yaml").read_text()
        (folder / f"{name}.prod.yaml").write_text(sample)

    def as_cron(job):
        for place, mine in (
            ("/opt/mnslib", "opt"), ("/etc/mnslib", "etc"), ("/var/lib/mnslib", "lib"),
            ("/var/log/mnslib", ""),
        ):  # fmt: skip
            job = job.replace(place, str(tmp_path / mine))
        assert "%" not in job  # a new line to cron
        bare = {"HOME": str(tmp_path), "LOGNAME": "mnslib", "SHELL": "/bin/sh"}
        bare["PATH"] = "/usr/bin:/bin"
        command = ["/bin/sh", "-c", job]
        done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, check=False)
        assert done.stdout + done.stderr == b""  # nothing for cron to mail
        return done.returncode, (tmp_path / "bulk.log").read_text()

    run, analyze, prune = cron_jobs()
    code, log = as_cron(run)
    assert code == 0, log
    (directory,) = (tmp_path / "lib/runs").glob("2*")
    assert log.splitlines()[-1] == str(directory)
    assert directory.name.endswith("-30_provision_in_bulk-prod")
    result = json.loads((directory / "result.json").read_text())
    assert (result["exit_code"], len(result["items"])) == (0, 36)
    code, log = as_cron(analyze)
    assert code == 0, log
    assert list((tmp_path / "lib/runs").glob("2*-40_analyze_quota_utilization-prod/portfolio.html"))
    old = directory.with_name("20200101T000000Z-30_provision_in_bulk-prod")
    shutil.copytree(directory, old)
    long_ago = dict.fromkeys(("started_utc", "finished_utc"), "2020-01-01T00:00:00Z")
    (old / "result.json").write_text(json.dumps(result | long_ago))  # a run is one by its record
    code, log = as_cron(prune)
    assert code == 0, log
    assert directory.exists()
    assert not old.exists()


def test_every_scheduler_gives_a_stop_the_time_that_it_may_take():
    minutes = STOP_SECONDS / 60
    pod, _ = container()
    assert pod["terminationGracePeriodSeconds"] == STOP_SECONDS
    assert f"TimeoutStopSec={minutes:.0f}min" in text("mnslib-bulk.service").splitlines()
    (job,) = yaml.safe_load(text("azure-pipelines.yml"))["jobs"]
    assert float(job["cancelTimeoutInMinutes"]) == minutes
    for page in ("README.md", "systemd.md", "azure-pipelines.md"):
        assert f"{minutes:.0f} minutes" in text(page)
