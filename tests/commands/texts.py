"""Every English text that a command may say, collected from the code: what the catalogue of Chinese must have."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import click

import sync_engine
from sync_engine.cli import chinese
from sync_engine.cli.root import cli
from sync_engine.model.declaration import TIERS

PACKAGE = Path(sync_engine.__file__).parent
TEMPLATES = {"Message": 1, "said": 1, "reaching": 1, "fail": 3, "unknown": 1, "Ref": 1}
"""Function -> how many of its first arguments are texts."""
HEADS = {"print_table", "Table"}
ERRORS = {"ConnectUnreachable", "RebalanceInProgress", "ConnectorNotFound", "ConnectorExists", "ConnectRefused", "ConnectorNotSettled"}
"""Kafka Connect's client speaks without the engine: its advice is a plain text, the last argument."""
OWN = {"cli/language.py", "cli/command.py", "cli/output.py"}
"""Where texts pass through, beside those that stand there."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"))


def of_code() -> dict[str, str]:
    """Text -> the file that says it."""
    return {text: file for file, tree in modules() for text in _of_module(file, tree)}


def _of_module(file: str, tree: ast.Module) -> Iterator[str]:
    named = [
        (node.targets[0].id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    ]
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr if isinstance(call.func, ast.Attribute) else ""
        arguments = [*call.args[: TEMPLATES.get(name, 0)]]
        if name in ERRORS and file == "runtime/connect.py":
            arguments.append(call.args[-1])
        for argument in arguments:
            candidates = [value for variable, value in named if isinstance(argument, ast.Name) and variable == argument.id]
            for one in candidates or [argument]:
                if isinstance(one, ast.Constant) and isinstance(one.value, str):
                    yield one.value
        if name in HEADS and file.startswith("cli/"):
            yield from _constants(call.args)
    for node in ast.walk(tree):
        if file == "runtime/connect.py" and isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ADVICE":
            yield from (pair.elts[1].value for pair in node.value.elts)  # type: ignore[attr-defined,misc]


def _constants(parts: list[ast.expr]) -> Iterator[str]:
    for part in parts:
        for node in ast.walk(part) if isinstance(part, ast.Tuple | ast.Starred) else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def commands(command: click.Command = cli) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each)


def of_help() -> Iterator[str]:
    for command in commands():
        assert command.callback is not None
        yield inspect.cleandoc(command.callback.__doc__ or "")
        yield from (parameter._help for parameter in command.params if isinstance(parameter, click.Option))  # type: ignore[attr-defined]


def words() -> Iterator[str]:
    """Closed vocabularies that are shown as words."""
    yield from TIERS
    yield from ("topic", "schema", "connector")
    yield from ("live", "withdrawn", "unconfirmed", "moved")
    yield from ("RUNNING", "PAUSED", "STOPPED", "FAILED", "UNASSIGNED", "RESTARTING", "MISSING")
    yield from ("confirmed", "fallback", "withheld", "unverified", "unconfirmed")
    yield from ("value", "null", "withheld", "unchanged", "absent")
    yield from ("disagreement", "two_authorities", "duplicate_in_source")
    yield from ("what is there", "they do not answer at the address that the settings give", "no worker has this record")
    yield from ("see that they run and that the network allows it, then say it again",)
    yield from ("unknown entity", "this node has no such record", "another worker has this partition, or it is being restored")
    yield from ("source", "node", "connector", "state", "trace", "tasks", "offsets", "config")
    yield from ("seconds", "changes", "commits", "events", "pushes", "p50_seconds", "p99_seconds", "transactions_per_second")
    yield from ("id", "reason", "detail", "stage", "at_ms", "key", "value", "headers")


def of_click() -> set[str]:
    """click's own sentences that can be met here; the installed version's, so far as the catalogue has them."""
    return {*chinese.CLICK, *(text for text in click_sentences() if text in REACHED)}


REACHED = {
    "Options",
    "Commands",
    "No such command {name!r}.",
    "No such option: {name}",
    "Missing option",
    "Missing argument",
    "Missing parameter",
    "Invalid value for {param_hint}: {message}",
    "Got unexpected extra argument ({args})",
    "default: {default}",
    "required",
}


def click_sentences() -> set[str]:
    found = set()
    for path in Path(click.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("_", "ngettext"):
                found |= {one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return found


def paths(command: click.Command = cli, line: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield line
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from paths(each, (*line, name))


def filled() -> Iterator[tuple[str, str, frozenset[str]]]:
    """(file, template, names of the arguments) of every text that is given arguments where it is said."""
    for file, tree in modules():
        named = {
            node.targets[0].id: node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Constant)
        }
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Message", "said") and call.args):
                continue
            template = call.args[0] if isinstance(call.args[0], ast.Constant) else named.get(getattr(call.args[0], "id", ""))
            keywords = [keyword.arg for keyword in call.keywords]
            if isinstance(template, ast.Constant) and isinstance(template.value, str) and None not in keywords:
                yield file, template.value, frozenset(map(str, keywords))
