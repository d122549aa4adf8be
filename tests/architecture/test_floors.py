"""The house has floors, and a module imports only from its own or from those below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import cronq

ROOT = Path(cronq.__file__).parent

FLOORS: dict[str, int] = {
    # The words
    "cronq": 0,
    "cronq.errors": 0,
    "cronq.model": 0,
    "cronq.clock": 0,
    "cronq.events": 0,
    "cronq.sizes": 0,
    "cronq.names": 0,
    "cronq.masking": 0,
    "cronq.ping_urls": 0,
    # From text to fire times
    "cronq.schedule": 1,
    # Deciding, purely; and from a definition to what it asks for
    "cronq.named_locks": 2,
    "cronq.timing": 2,
    "cronq.audit": 2,
    "cronq.why": 2,
    "cronq.plan": 2,
    "cronq.retention": 2,
    "cronq.overdue": 2,
    "cronq.ping_signals": 2,
    "cronq.importing": 2,
    "cronq.portable": 2,
    # The ledger, the only transactions
    "cronq.store": 3,
    # Processes; the doorbell lies lower because a worker without a scheduler rings it
    "cronq.doorbell": 3,
    "cronq.database_clock": 4,
    "cronq.worker": 4,
    "cronq.wire": 4,
    "cronq.ping_process": 4,
    "cronq.ping_sending": 4,
    # The scheduler, and what it needs around it
    "cronq.pinging": 5,
    "cronq.lock": 5,
    "cronq.waiting": 5,
    "cronq.seat": 5,
    "cronq.leftovers": 5,
    "cronq.shipment": 5,
    "cronq.shipping": 5,
    "cronq.lost_nodes": 2,
    "cronq.node": 5,
    "cronq.node_service": 5,
    "cronq.systemd": 5,
    "cronq.reporter": 5,
    "cronq.scheduler": 5,
    "cronq.service": 5,
    "cronq.doctor": 5,
    "cronq.doctor_server": 5,
    "cronq.alive": 5,
    "cronq.restore": 5,
    "cronq.moving": 5,
    "cronq.moved_logs": 5,
    "cronq.rezone": 5,
    "cronq.redefine": 5,
    "cronq.proof": 5,
    "cronq.evidence": 5,
    "cronq.patience": 5,
    "cronq.steps": 5,
    "cronq.pruning": 5,
    "cronq.sweep": 5,
    "cronq.aside": 5,
    "cronq.virtual": 5,
    "cronq.ticking": 5,
    "cronq.keeping": 5,
    "cronq.wish": 5,
    # Pictures, commands, the front door
    "cronq.render": 6,
    "cronq.report": 6,
    "cronq.cli": 7,
    "cronq.__main__": 8,
    # For other people's tests
    "cronq.testing": 8,
    "cronq.pytest_plugin": 8,
}
"""Package or module → floor; the longest prefix counts."""

FORBIDDEN = {
    # Drawing knows data, a time and a width; not where they come from.
    "cronq.render": {
        "cronq.store.sqlite",
        "cronq.store.connection",
        "cronq.store.location",
        "cronq.worker",
        "cronq.scheduler",
        "cronq.service",
        "cronq.lock",
    },
    # Planning reads no clock and no store.
    "cronq.plan": {"cronq.clock", "cronq.store", "cronq.schedule"},
    # So do proving and explaining.
    "cronq.audit": {"cronq.clock", "cronq.store", "cronq.schedule"},
    "cronq.why": {"cronq.clock", "cronq.store", "cronq.schedule"},
    "cronq.overdue": {"cronq.clock", "cronq.store", "cronq.schedule"},
    # Reading other people's files knows nothing of this machine.
    "cronq.importing": {"cronq.clock", "cronq.store"},
    # The loop works with any store, workers and clock.
    "cronq.scheduler": {"cronq.store.sqlite", "cronq.worker.pool", "cronq.waiting", "cronq.doorbell"},
    "cronq.store": {"cronq.schedule", "cronq.events"},
    # A leaf: everything else imports it.
    "cronq.model": {"cronq.clock", "cronq.events"},
}
"""Within the floors: what would still be the wrong way round."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def floor_of(module: str) -> int:
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        prefix = ".".join(parts[:length])
        if prefix in FLOORS:
            return FLOORS[prefix]
    if module == "cronq":
        return 0
    raise AssertionError(f"{module} is on no floor: put it into the table of this test")


def imports_of(module: str, *, run_time_only: bool = False) -> Iterator[str]:
    """Yield the modules of cronq that a module imports; at any place of it, or only when it is imported."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in _at_import(tree) if run_time_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "cronq")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports hide the floor"
            if node.module and node.module.split(".")[0] == "cronq":
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name if name in MODULES else node.module


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _at_import(child)


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def test_modules_are_found() -> None:
    assert len(MODULES) > 60
    assert {"cronq", "cronq.store.sqlite", "cronq.__main__"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_exists_and_lies_no_higher(module: str) -> None:
    own = floor_of(module)
    for imported in imports_of(module):
        assert imported in MODULES, f"{module} imports {imported}, which does not exist"
        assert floor_of(imported) <= own, f"{module} (floor {own}) imports {imported}"


@pytest.mark.parametrize("package", FORBIDDEN)
def test_module_does_not_import_what_it_must_not_know(package: str) -> None:
    for module in MODULES:
        if is_within(module, package):
            for imported in imports_of(module):
                wrong = [f for f in FORBIDDEN[package] if is_within(imported, f)]
                assert not wrong, f"{module} imports {imported}"


def test_table_has_no_rooms_that_do_not_exist() -> None:
    for package in FLOORS:
        assert any(is_within(module, package) for module in MODULES), package


def test_modules_do_not_import_one_another_in_a_circle() -> None:
    edges = {
        module: {i for i in imports_of(module, run_time_only=True) if not is_package_of(i, module)}
        for module in MODULES
    }
    assert not (circle := find_circle(edges)), " → ".join(circle)


def is_package_of(package: str, module: str) -> bool:
    return module.startswith(f"{package}.")


def find_circle(edges: dict[str, set[str]]) -> list[str]:
    """Return one circle, its first module repeated at its end; empty if there is none."""
    finished: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in finished:
            return []
        for imported in sorted(edges.get(module, ())):
            found = visit(imported, [*way, module])
            if found:
                return found
        finished.add(module)
        return []

    for module in edges:
        found = visit(module, [])
        if found:
            return found
    return []


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({}, []),
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, ["a", "b", "a"]),
        ({"a": {"b", "c"}, "b": {"c"}, "c": {"b"}}, ["b", "c", "b"]),
        ({"a": {"a"}}, ["a", "a"]),
    ],
)
def test_find_circle_finds_circles(edges: dict[str, set[str]], expected: list[str]) -> None:
    assert find_circle(edges) == expected


def test_floors_are_as_many_as_the_design_says() -> None:
    floors = sorted(set(FLOORS.values()))
    assert all(upper == lower + 1 for lower, upper in pairwise(floors))
