"""Rules about the repository itself: sizes, names, and documents that cannot drift from the code."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ops import env_example
from ops.demo.redis_binary import DURABLE_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("cli", "watcher", "provisioner", "uploader", "synth", "lib", "ops")
CONTRACT_TARGETS = {
    f"jobs-{verb}"
    for verb in (
        *("plan", "enqueue", "status", "history", "result"),
        *("report", "retry", "flush", "dashboard", "logs"),
    )
}


@cache
def files() -> tuple[Path, ...]:
    """What belongs to the repository: tracked or not yet, but not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return tuple(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def python_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def lua_files() -> list[Path]:
    return [path for path in files() if path.suffix == ".lua"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_no_file_of_code_is_longer_than_500_lines() -> None:
    code = [p for p in files() if p.suffix in {".py", ".lua", ".sh", ".conf", ".yaml", ".yml"} or p.name == "Makefile"]
    assert len(code) > 50
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in code}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


def functions() -> Iterator[tuple[str, int]]:
    for path in python_files():
        if relative(path).split("/")[0] in PROGRAMS:
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                    yield f"{relative(path)}:{node.name}", node.end_lineno - node.lineno + 1


def test_no_function_is_longer_than_50_lines() -> None:
    assert {name: length for name, length in functions() if length > 50} == {}


def test_every_module_says_what_it_owns() -> None:
    modules = [path for path in python_files() if relative(path).split("/")[0] in PROGRAMS and path.stat().st_size]
    assert [relative(path) for path in modules if not ast.get_docstring(tree(path))] == []


def test_no_module_is_named_after_nothing() -> None:
    assert [relative(p) for p in python_files() if p.stem in {"utils", "util", "common", "helpers", "misc"}] == []


def test_no_file_names_a_package_index_or_is_left_unfinished() -> None:
    pattern = re.compile(r"--(?:extra-)?index-url|--find-links|\b(?:TODO|FIXME|XXX)\b")
    found = []
    for path in files():
        if path == Path(__file__) or path.suffix in {".wav", ".png", ".gz"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{relative(path)}:{number}: {line.strip()}")
    assert found == []


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    sleeping = []
    for path in python_files():
        if relative(path).startswith("tests/") and relative(path) != "tests/support/wait.py":
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in {"time.sleep", "sleep"}:
                    sleeping.append(f"{relative(path)}:{node.lineno}")
    assert sleeping == []


def test_the_example_environment_is_what_the_settings_classes_say() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example.example(), "run `make env-example`"


def test_no_setting_is_listed_twice_in_the_example_environment() -> None:
    names = re.findall(r"^#([A-Z0-9_]+)=", env_example.example(), flags=re.MULTILINE)
    assert len(names) > 10
    assert sorted(names) == sorted(set(names))


def variables_read(path: Path) -> Iterator[str]:
    """Names of environment variables that a module reads with a constant name."""
    for node in ast.walk(tree(path)):
        key: ast.expr | None = None
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.environ.get", "os.getenv"}:
            key = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            key = node.slice
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def test_every_variable_the_programs_read_is_in_the_example_environment() -> None:
    known = set(re.findall(r"^#([A-Z0-9_]+)=", env_example.example(), flags=re.MULTILINE))
    # Not ours to document: the terminal's, the shell's, and what the image says about itself.
    known |= {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM", "PATH", "HOME", "TMPDIR", "PYTHONPATH", "LANG"}
    known |= {"JOB_RUNNER_IN_IMAGE"}
    read = {
        name: relative(path)
        for path in python_files()
        if relative(path).split("/")[0] in set(PROGRAMS) - {"ops"}
        for name in variables_read(path)
    }
    assert {name: where for name, where in read.items() if name not in known} == {}


HEADER = re.compile(r"^-- (?P<kind>KEYS|ARGV)\[(?P<first>\d+)(?:(?P<many>\.\.)(?P<last>\d*))?\]\s+\S")
USED = re.compile(r"\b(KEYS|ARGV)\[(\d+)\]")


@pytest.mark.parametrize("path", [path for path in lua_files() if not path.stem.startswith("_")], ids=lambda p: p.stem)
def test_a_script_lists_exactly_its_keys_and_arguments_and_what_it_returns(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    headers = [match for line in lines if (match := HEADER.match(line))]
    used = {(kind, int(n)) for line in lines if not line.startswith("--") for kind, n in USED.findall(line)}
    single = {(match["kind"], int(match["first"])) for match in headers if not match["many"]}
    ranges = [(m["kind"], int(m["first"]), int(m["last"] or 1_000)) for m in headers if m["many"]]
    unlisted = {(kind, n) for kind, n in used - single if not any(k == kind and a <= n <= z for k, a, z in ranges)}
    assert unlisted == set(), "used but not listed in the header"
    assert single - used == set(), "listed in the header but not used"
    for kind in ("KEYS", "ARGV"):
        starts = [int(match["first"]) for match in headers if match["kind"] == kind]
        ends = [int(m["last"] or m["first"]) for m in headers if m["kind"] == kind]
        assert starts == [1, *(end + 1 for end in ends)][: len(starts)], f"the header skips or reorders {kind}"
    assert any(line.startswith("-- Returns ") for line in lines)


def test_there_are_scripts_to_look_at() -> None:
    assert len(lua_files()) > 5


def test_no_stream_but_the_capped_one_of_events_is_ever_trimmed() -> None:
    """A work stream that is trimmed by length or age loses jobs without a word."""
    trims = re.compile(r"xtrim|maxlen|minid", re.IGNORECASE)
    ours = set(PROGRAMS) - {"ops"}
    programs = [path for path in (*python_files(), *lua_files()) if relative(path).split("/")[0] in ours]
    lines = [line.strip() for path in programs for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if trims.search(line) and "deque(" not in line]
    assert found
    assert [line for line in found if "'XADD', EVENTS, 'MAXLEN', '~', EVENTS_CAP" not in line] == []


def test_the_makefile_has_every_shortcut_of_the_contract() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*## ", makefile, flags=re.MULTILINE))
    assert targets >= CONTRACT_TARGETS | {"help", "demo", "test", "check", "chaos", "soak", "bench", "lock", "clean"}


def test_the_supervised_redis_runs_with_the_options_that_are_shipped() -> None:
    configuration = (ROOT / "ops/supervisor/programs/redis.conf").read_text(encoding="utf-8")
    options = " ".join(option or '""' for option in DURABLE_OPTIONS)
    assert options in configuration


def test_every_worker_is_supervised() -> None:
    supervised = {path.stem for path in (ROOT / "ops/supervisor/programs").glob("*.conf")}
    assert supervised == {"watcher", "provisioner", "uploader", "redis"}


def test_scripts_can_be_executed() -> None:
    for name in ("run", "ops/make_environment.sh", ".ci/run"):
        assert (ROOT / name).stat().st_mode & 0o111 == 0o111, name
