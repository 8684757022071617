"""The home comes from the option, the environment or the user's data folder, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from lynx_cl.errors import LynxError
from lynx_cl.home import Home, resolve_home


def test_option_before_environment_before_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LYNX_CL_HOME", str(tmp_path / "environment"))
    assert resolve_home(str(tmp_path / "option")).path == tmp_path / "option"
    assert resolve_home(None).path == tmp_path / "environment"
    monkeypatch.delenv("LYNX_CL_HOME")
    assert resolve_home(None).path.name == "lynx-cl"
    monkeypatch.chdir(tmp_path)
    assert resolve_home("here").registry == tmp_path / "here" / "registry"


def test_a_home_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LynxError, match="cannot write here .*--home"):
        Home(tmp_path / "file" / "home").ensure_writable()
    Home(tmp_path / "new").ensure_writable()
    assert list((tmp_path / "new").iterdir()) == []
