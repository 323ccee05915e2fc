"""YAML text to plain values, with the line of everything: what YAML may hold here, and where each value stands.

The C parser composes the nodes; they are then turned into values here rather than by PyYAML's constructor, which is
several times slower, accepts double keys silently and forgets the lines. Refuses custom tags, double keys, several
documents, aliases that expand beyond a bound ("bombs") and aliases that hold themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import yaml

from lib.errors import InputError
from lib.manifest.source import MAX_FILE_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Node = Any  # PyYAML's stubs do not know `id`, which every node has

MAX_EXPANDED = 2 * MAX_FILE_BYTES
MAX_DEPTH = 100
MAX_NODES = 3_000_000
_PREFIX = "tag:yaml.org,2002:"
_STR, _NULL, _BOOL, _INT, _FLOAT, _TIME, _MERGE, _VALUE = (
    _PREFIX + name for name in ("str", "null", "bool", "int", "float", "timestamp", "merge", "value")
)
_MAP, _SEQ = _PREFIX + "map", _PREFIX + "seq"

HAS_C_LOADER = hasattr(yaml, "CSafeLoader")
_BASE: type[yaml.SafeLoader] = yaml.CSafeLoader if HAS_C_LOADER else yaml.SafeLoader  # type: ignore[assignment]


class _TooManyNodes(Exception):
    """Going on would need gigabytes: a node takes some hundred times the characters it may stand for."""


class _Composer(_BASE):  # type: ignore[valid-type, misc]  # one of two classes, chosen at run time
    """Composes nodes only. Plain scalars that can be nothing but text skip the resolver's regular expressions."""

    nodes = 0

    def resolve(self, kind: type, value: str | None, implicit: object) -> str:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooManyNodes
        if kind is yaml.ScalarNode:
            assert isinstance(implicit, tuple)
            if not implicit[0] or (value and value[0] not in self.yaml_implicit_resolvers):
                return _STR
        return str(super().resolve(kind, value, implicit))

    def descend_resolver(self, *_: object) -> None:
        """No path resolvers here."""

    def ascend_resolver(self) -> None:
        """No path resolvers here."""


def compose(text: str, shown: str) -> Node | None:
    """Return the root node of the only document in `text`; None where there is none."""
    try:
        loader = _Composer(text)
        try:
            return loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.composer.ComposerError as error:
        raise InputError(_marked(shown, error, _composer_advice(error))) from None
    except yaml.MarkedYAMLError as error:
        raise InputError(_marked(shown, error, "correct the YAML here")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(
            f"{shown}:{line}: character U+{_code(error.character):04X} is not allowed in YAML; remove it"
        ) from None
    except _TooManyNodes:
        raise InputError(f"{shown}: holds more than {MAX_NODES:,} keys and values; split the file") from None
    except RecursionError:
        raise InputError(f"{shown}: nested too deeply; flatten it") from None


def _code(character: object) -> int:
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


def _composer_advice(error: yaml.MarkedYAMLError) -> str:
    if "single document" in str(error.context):
        return "keep one document in a file: remove the line '---'"
    return "correct the YAML here"


def _marked(shown: str, error: yaml.MarkedYAMLError, advice: str) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
    what = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{place}: not valid YAML: {what}; {advice}"


class Builder:
    """Turns nodes into values. Shared nodes become shared values, but count each time they appear."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._expanded = 0
        self._built: dict[int, tuple[object, int] | None] = {}
        self.problems: list[str] = []

    def build(self, node: Node, depth: int = 0) -> object:
        """Return the value of `node`; faults go to `problems`, what cannot go on raises InputError."""
        if node.id == "scalar":
            self._expanded += len(node.value) + 1
            tag = node.tag
            if tag == _STR:
                return node.value
            return self._scalar(node)
        return self._collection(node, depth)

    def _collection(self, node: Node, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise InputError(f"{self._at(node)}: nested more than {MAX_DEPTH} deep; flatten it")
        key = id(node)
        if key in self._built:
            known = self._built[key]
            if known is None:
                raise InputError(f"{self._at(node)}: an alias holds itself; write the value out")
            self._grow(known[1], node)
            return known[0]
        self._built[key] = None
        before = self._expanded
        value: object
        if node.id == "mapping" and node.tag == _MAP:
            value = self._mapping(node, depth)
        elif node.id == "sequence" and node.tag == _SEQ:
            value = [self.build(item, depth + 1) for item in node.value]
        else:
            self._unknown_tag(node)
            value = None
        self._grow(1, node)
        self._built[key] = (value, self._expanded - before)
        return value

    def _grow(self, count: int, node: Node) -> None:
        self._expanded += count
        if self._expanded > MAX_EXPANDED:
            raise InputError(f"{self._at(node)}: aliases expand to more than {MAX_EXPANDED:,} characters; write less")

    def _mapping(self, node: Node, depth: int) -> dict[object, object]:
        values: dict[object, object] = {}
        merged: list[object] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(self._merge(value_node, depth))
                continue
            key = key_node.value if key_node.tag == _STR else self._key(key_node, depth)
            if key in values:
                self._double(node, key_node, key)
            values[key] = self.build(value_node, depth + 1)
        for defaults in merged:
            assert isinstance(defaults, dict)
            for key, value in defaults.items():
                values.setdefault(key, value)
        return values

    def _key(self, node: Node, depth: int) -> object:
        if node.id != "scalar":
            raise InputError(f"{self._at(node)}: a key must be text; write a plain name")
        return self.build(node, depth + 1)

    def _double(self, mapping: Node, node: Node, key: object) -> None:
        first = next(known for known, _ in mapping.value if known.tag == node.tag and known.value == node.value)
        self.problems.append(
            f"{self._at(node)}: the key {key!r} stands twice (first in line {first.start_mark.line + 1}); remove one"
        )

    def _merge(self, node: Node, depth: int) -> dict[object, object]:
        """Return what `<<` brings in: one mapping, or several of which the first wins."""
        sources = node.value if node.id == "sequence" else [node]
        together: dict[object, object] = {}
        for source in sources:
            value = self.build(source, depth + 1)
            if not isinstance(value, dict):
                raise InputError(f"{self._at(source)}: '<<' takes mappings only; merge an alias of a mapping")
            self._grow(len(value), node)
            for key, item in value.items():
                together.setdefault(key, item)
        return together

    def _scalar(self, node: Node) -> object:
        convert = _SCALARS.get(node.tag)
        if convert is None:
            self._unknown_tag(node)
            return None
        try:
            return convert(node)
        except (ValueError, OverflowError, KeyError, AttributeError) as error:
            kind = node.tag.removeprefix(_PREFIX)
            self.problems.append(f"{self._at(node)}: {node.value[:60]!r} is no {kind} ({error}); put it in quotes")
            return None

    def _unknown_tag(self, node: Node) -> None:
        tag = str(node.tag).replace(_PREFIX, "!!")
        self.problems.append(f"{self._at(node)}: the tag {tag} is not allowed; write a plain value")

    def _at(self, node: Node) -> str:
        return f"{self._shown}:{node.start_mark.line + 1}"


_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_SCALARS: dict[str, Callable[[Node], object]] = {
    _STR: lambda node: node.value,
    _VALUE: lambda node: node.value,
    _NULL: lambda _: None,
    _BOOL: _CONSTRUCTOR.construct_yaml_bool,
    _INT: _CONSTRUCTOR.construct_yaml_int,
    _FLOAT: _CONSTRUCTOR.construct_yaml_float,
    _TIME: _CONSTRUCTOR.construct_yaml_timestamp,
}


def line_of(root: Node, path: tuple[str | int, ...]) -> int:
    """Return the line of the value at `path`, or of the nearest thing around it that exists."""
    line, node = root.start_mark.line, root
    for step in path:
        found = None
        if node.id == "sequence" and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
            line = found.start_mark.line
        elif node.id == "mapping":
            for key_node, value_node in node.value:
                if key_node.value == step:
                    found, line = value_node, key_node.start_mark.line
                    break
        if found is None:
            break
        node = found
    return int(line) + 1
