"""Every check of the project, each in an environment of its own.

nox                           the whole test set, what continuous integration runs
nox -s tests-3.12 -- -k nonce one version, arguments behind -- go to pytest
nox -l                        all sessions, those that do not run by default too
"""

from __future__ import annotations

from pathlib import Path

import nox

nox.needs_version = ">=2025.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
# Rooms without clocks, sockets or tasks: their own tests reach every branch.
PURE_ROOMS = ["wire", "shaping", "guard"]
# What flake8-async finds and the project means; in tests also ASYNC124, because an async test need not await anything.
NOT_MISTAKES = [
    "ASYNC114",  # asks for a list of startable functions, which would have to be kept up
    "ASYNC120",  # waiting under `except BlockingIOError` is how the drivers try first and wait second
    "ASYNC128",  # does not see that task_status is passed on
    # A checkpoint in every call is what the fast path does without: it tries first and waits only when it must. These
    # are off by default, and any list of our own switches them on.
    "ASYNC900",
    "ASYNC910",
    "ASYNC911",
    "ASYNC912",
    "ASYNC913",
]


def groups(*names: str) -> tuple[str, ...]:
    """What the named dependency groups of pyproject.toml ask for."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def install(session: nox.Session, *group_names: str, extras: str = "", editable: bool = False) -> None:
    """Install the project as a user would (or, editable, as a developer does) together with dependency groups."""
    project = ["-e", f".{extras}"] if editable else [f".{extras}"]
    # uv takes an unchanged version number for an unchanged tree; pip builds a folder again every time.
    fresh = ["--reinstall-package", "telemt-trio"] if session.venv_backend == "uv" else []
    session.install(*fresh, *project, *groups(*group_names))


# ---------------------------------------------------------------- the test set


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The tests, against the installed package, on every supported Python."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, and the async mistakes that a type checker does not see."""
    session.install(*groups("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    for folder in ("telemt_trio", "examples", "tests"):
        sources = [str(path) for path in (ROOT / folder).rglob("*.py") if ROOT / "tests/bench" not in path.parents]
        disabled = [*NOT_MISTAKES, "ASYNC124"] if folder == "tests" else NOT_MISTAKES
        session.log(f"flake8-async {folder}")
        session.run("flake8-async", f"--disable={','.join(disabled)}", *sources, log=False)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the package and the examples."""
    install(session, "types", extras="[plot]", editable=True)
    session.run("mypy")


@nox.session
def contracts(session: nox.Session) -> None:
    """The rings of docs/design.md: who may import whom."""
    session.install(*groups("contracts"))
    session.run("lint-imports")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning or a reference to nowhere is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "-n", "--keep-going", "-q", "-b", "html", "docs", "docs/_build/html")


@nox.session
def examples(session: nox.Session) -> None:
    """Every program in examples/ runs to its end and says so with exit status 0."""
    install(session)
    programs = sorted((ROOT / "examples").glob("*.py"))
    if not programs:
        session.error("examples/ is empty")
    for program in programs:
        session.run("python", str(program.relative_to(ROOT)))


@nox.session
def coverage(session: nox.Session) -> None:
    """The pure rooms, branch by branch: all of each, from its own tests alone."""
    install(session, "coverage", editable=True)
    for room in PURE_ROOMS:
        if not (ROOT / "telemt_trio" / room).is_dir():
            session.log(f"no room {room} yet")
            continue
        env = {"COVERAGE_FILE": str(Path(session.create_tmp()) / f"coverage.{room}")}
        session.run("coverage", "run", "-m", "pytest", "-q", f"tests/{room}", env=env)
        include = f"--include=telemt_trio/{room}/*"
        session.run("coverage", "report", include, "--show-missing", "--skip-covered", "--fail-under=100", env=env)


# ---------------------------------------------------------------- on demand


@nox.session(default=False)
def interop(session: nox.Session) -> None:
    """Real Telegram clients from PyPI against the proxy, offline (Linux, root). Under CI no test may be skipped."""
    install(session, "interop")
    session.run("pytest", "tests/interop", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """CPU and memory against the prototypes, with a verdict (Linux, root, 2 cores, gcc, libssl-dev, zlib1g-dev).

    About 20 minutes. Arguments go to tests/bench/run.py: `nox -s bench -- --only down,hs --rounds 3 --json out.json`.
    """
    install(session)
    session.run("make", "-s", "-C", "tests/bench", external=True)
    env = {"BENCH_OURS": f"{Path(session.bin) / 'telemt-trio'} run {{config}}"}
    session.run("python", "tests/bench/run.py", *session.posargs, env=env)


@nox.session(default=False)
def fuzz(session: nox.Session) -> None:
    """A million seeded inputs for every parser. Half an hour or more."""
    install(session, "test")
    session.run("python", "-m", "tests.fuzz.run", *session.posargs)


@nox.session(default=False)
def experiments(session: nox.Session) -> None:
    """Measurements behind decisions: the tests marked `experiment`, which report instead of asserting."""
    install(session, "test")
    nothing_selected = 5
    arguments = ["-m", "experiment", "--timeout=0", *session.posargs]
    session.run("pytest", *arguments, success_codes=[0, nothing_selected])
