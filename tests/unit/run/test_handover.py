"""What is asked of a hand-over is looked at before anything is written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mnslib.errors import ConfigError
from mnslib.run.handover import refused_kubeconfig
from mnslib.run.targets import NOBODY, sandbox_as


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("{tmp}/a:{tmp}/b", "no path of one file: no list"),
        (":{tmp}/a", "no list"),
        ("{tmp}/a;{tmp}/b", "no list"),
        ("{tmp}/a:", "no list"),
        ("$HOME/.kube/config", "variable"),
        ("{tmp}/${{USER}}", "variable"),
        ("%USERPROFILE%/config", "variable"),
        ('"{tmp}/config"', "quotes"),
        ("{tmp}/config ", "no path of one file"),
        ("{tmp}/con\nfig", "no path of one file"),
        ("{tmp}", "is a directory|is no file"),
        ("{tmp}/new/", "is no file"),
        ("~", "is a directory|is no file"),
        (".", "is a directory|is no file"),
        ("/dev/null", "is no file"),
        ("{tmp}/file/config", "cannot be written|no folder"),
        ("{tmp}/no/such/config", "no folder .*/no/such"),
        (".no-kube/config", "no folder .*project folder"),
        ("~nobody-of-this-name/config", "cannot be written"),
        ("{tmp}/circle", "cannot be written"),
    ],
)
def test_where_no_kubeconfig_can_be_merged_is_refused(
    tmp_path: Path, named: str, said: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    found = refused_kubeconfig({"kubeconfig": named.format(tmp=tmp_path)})
    assert list(found) == ["kubeconfig"]
    assert re.search(said, found["kubeconfig"], re.I), found
    assert found["kubeconfig"].endswith("Write ~/.kube/config, or an absolute path.")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["circle", "file"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "cannot be written" in refused_kubeconfig({"kubeconfig": f"{tmp_path}/a"})["kubeconfig"]


@pytest.mark.parametrize("named", ["", "{tmp}/config", "{tmp}/.kube/config", "{tmp}/link"])
def test_where_one_can_be_merged_nothing_is_refused_or_made(tmp_path: Path, named: str) -> None:
    (tmp_path / "there").write_text("kind: Config\n")
    (tmp_path / "link").symlink_to("there")
    assert refused_kubeconfig({"kubeconfig": named.format(tmp=tmp_path)}) == {}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "there"]


def test_a_pack_that_is_for_nobody_says_how_it_gets_to_be_for_somebody():
    with pytest.raises(ConfigError, match=r"for nobody: no user .* Give somebody access"):
        sandbox_as({"identities": {"admin": {}}}, NOBODY)
