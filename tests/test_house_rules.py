"""The house rules that a parser can check, over every module of the package."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "fingan").rglob("*.py"))
LINES_PER_FILE = 400
LINES_PER_FUNCTION = 60
# Functions of torch that draw from its global generator unless they are given one.
DRAWS = {"bernoulli", "multinomial", "normal", "rand", "randint", "randn", "randperm"}
EXPLICIT_NUMPY = {"BitGenerator", "Generator", "PCG64", "Philox", "SFC64", "SeedSequence"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@pytest.fixture(scope="module", params=FILES, ids=lambda p: str(p.relative_to(ROOT)))
def module(request):
    """One module's syntax tree; `.path` names it."""
    tree = ast.parse(request.param.read_text(encoding="utf-8"))
    tree.path = request.param.relative_to(ROOT)
    return tree


def functions(tree: ast.AST) -> Iterator[Function]:
    return (n for n in ast.walk(tree) if isinstance(n, Function))


def at(tree: ast.AST, node: ast.AST, what: str = "") -> str:
    return f"{tree.path}:{node.lineno} {what}".rstrip()


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of names, else an empty string."""
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else ""
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    return ((n, dotted(n.func)) for n in ast.walk(tree) if isinstance(n, ast.Call))


def imported(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ""


def test_files_and_functions_are_short(module):
    lines = (ROOT / module.path).read_text(encoding="utf-8").count("\n")
    assert lines <= LINES_PER_FILE, f"{module.path} has {lines} lines"
    long = [at(module, f, f.name) for f in functions(module) if f.end_lineno - f.lineno >= LINES_PER_FUNCTION]
    assert not long


def test_no_call_that_prints_asserts_or_runs_data(module):
    banned = {"print", "eval", "exec", "breakpoint", "quit", "exit", "torch.load", "torch.save", "yaml.load"}
    banned |= {"yaml.unsafe_load", "yaml.full_load", "numpy.load", "np.load"}
    assert not [at(module, node, name) for node, name in calls(module) if name in banned]
    assert not [at(module, n, "assert") for n in ast.walk(module) if isinstance(n, ast.Assert)]


def test_no_serialiser_that_runs_code(module):
    banned = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "random"}
    assert not [at(module, node, name) for node, name in imported(module) if name.split(".")[0] in banned]


def test_no_global_random_generator(module):
    found = []
    for node, name in calls(module):
        owner, _, last = name.rpartition(".")
        keywords = {k.arg for k in node.keywords}
        if (owner in ("np.random", "numpy.random") and last not in EXPLICIT_NUMPY) or (
            owner == "torch" and (last == "manual_seed" or (last in DRAWS and "generator" not in keywords))
        ):
            found.append(at(module, node, name))
    assert not found


def test_no_mutable_default_and_no_falsy_default_trick(module):
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for function in functions(module):
        defaults = [*function.args.defaults, *(d for d in function.args.kw_defaults if d is not None)]
        for default in defaults:
            constructed = isinstance(default, ast.Call) and dotted(default.func) in {"list", "dict", "set"}
            assert not isinstance(default, mutable), at(module, default, function.name)
            assert not constructed, at(module, default, function.name)
    for node in ast.walk(module):
        if isinstance(node, ast.IfExp):
            assert ast.dump(node.test) != ast.dump(node.body), at(module, node, "`x if x else d`")


def test_nothing_happens_at_import(module):
    banned = re.compile(
        r"(os\.(environ|getenv|makedirs|mkdir)|.*\.(mkdir|basicConfig|write_text)|open)(\..*)?"
    )
    at_import = [
        n
        for n in module.body
        if not isinstance(n, (*Function.__args__, ast.ClassDef, ast.Import, ast.ImportFrom))
    ]
    for statement in at_import:
        for node in ast.walk(statement):
            name = dotted(node.func) if isinstance(node, ast.Call) else ""
            assert not (name and banned.fullmatch(name)), at(module, node, name)
            assert dotted(node) != "os.environ", at(module, statement, "os.environ")


def public_definitions(body: list[ast.stmt]) -> Iterator[Function | ast.ClassDef]:
    """Yield public functions and classes, and public methods of public classes."""
    for node in body:
        if isinstance(node, (*Function.__args__, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public_definitions(node.body)


@cache
def documented_elsewhere() -> set[str]:
    """Names of methods that some class documents, and of a protocol's attributes: others implement them."""
    trees = (ast.parse(p.read_text(encoding="utf-8")) for p in FILES)
    classes = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    methods = (m for c in classes for m in c.body if isinstance(m, Function))
    protocols = (c for c in classes if any(dotted(b).endswith("Protocol") for b in c.bases))
    attributes = (a.target for c in protocols for a in c.body if isinstance(a, ast.AnnAssign))
    return {m.name for m in methods if ast.get_docstring(m)} | {dotted(a) for a in attributes}


def test_every_public_name_has_a_docstring(module):
    assert ast.get_docstring(module), f"{module.path} says nothing of itself"
    inherited = documented_elsewhere()
    top_level = set(map(id, module.body))
    bare = [d for d in public_definitions(module.body) if not ast.get_docstring(d)]
    bare = [d for d in bare if id(d) in top_level or d.name not in inherited]
    bare = [d for d in bare if not any(dotted(x).endswith("overload") for x in d.decorator_list)]
    assert not [at(module, d, d.name) for d in bare]


def test_every_parameter_and_result_is_annotated(module):
    bare = []
    for function in functions(module):
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
        bare += [
            at(module, p, f"{function.name}({p.arg})")
            for p in parameters
            if p.annotation is None and p.arg not in ("self", "cls")
        ]
        if function.returns is None:
            bare.append(at(module, function, f"{function.name} ->"))
    assert not bare


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import fingan", "import fingan.errors", "import fingan.config"])
def test_light_imports_stay_light(statement):
    loaded = modules_after(statement)
    assert not loaded & {"torch", "ray", "pandas", "pyarrow", "sklearn", "scipy", "matplotlib", "fastapi"}


def test_the_service_in_one_process_does_without_ray():
    assert "ray" not in modules_after("import fingan.service.local")


@pytest.mark.parametrize("module", ["fitting", "service.local", "cluster.worker", "service.deployment"])
def test_processes_that_train_or_sample_start_without_what_only_evaluation_needs(module):
    # Ray itself brings pandas.
    own = {"pandas"} if module in ("fitting", "service.local") else set()
    assert not modules_after(f"import fingan.{module}") & {"sklearn", "scipy.stats", "matplotlib", *own}


def test_importing_the_package_does_not_even_load_pydantic():
    assert "pydantic" not in modules_after("import fingan")


def project_files() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        pytest.skip("this is no git checkout")
    return [p for name in done.stdout.split("\0") if name and (p := ROOT / name).is_file()]


def test_no_file_knows_the_machine_it_was_written_on():
    # Split, so that this file does not find itself.
    roots = [
        "/wo" + "rk/",
        "/ro" + "ot/",
        "/fa" + "rm/",
        r"\.libr" + "ary/",
        "/opt/wh" + "eels",
        # Not the home of the user in Ray's images.
        "/ho" + r"me/(?!ray/)\w",
    ]
    pattern = re.compile("|".join(rf"(?<![\w.]){r}" for r in roots).encode())
    found = []
    for path in project_files():
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            if path.suffix != ".parquet" and pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert not found


def test_no_stored_model_or_notebook_output_lies_in_the_tree():
    banned = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".npy", ".npz", ".ckpt"}
    assert not [p.relative_to(ROOT) for p in project_files() if p.suffix in banned]


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="the tests run in one process")
def test_tests_of_a_file_stay_on_one_process(request):
    """Else costly fixtures are made twice, and nothing but the clock tells."""
    assert request.node.nodeid.endswith(f"@{request.node.path}")
