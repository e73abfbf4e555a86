"""The small part of GraphQL that the simulated platform speaks: parse a query, run it over plain dictionaries.

Objects are dictionaries with ``__typename``; a value may be a function of the field's arguments. Must never be used to judge
whether a query is valid elsewhere: only what the simulator needs is here.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

_TOKEN = re.compile(r'\s+|,|#[^\n]*|(\.\.\.|[{}()\[\]:$!=@]|"(?:[^"\\]|\\.)*"|-?\d+|[A-Za-z_]\w*)')
FALLBACK = {
    "YesNoChamp": "CheckboxChamp", "DatetimeChamp": "DateChamp", "DropDownListChamp": "TextChamp",
    "AddressChamp": "TextChamp", "CommuneChamp": "TextChamp", "DepartementChamp": "TextChamp", "RegionChamp": "TextChamp",
    "PaysChamp": "TextChamp", "HeaderSectionChamp": "TextChamp", "ExplicationChamp": "TextChamp",
    "PersonneMoraleIncomplete": "PersonneMorale",
}  # fmt: skip
"""The older type that stands for a newer one, unless a fragment of the document names the newer."""


class QueryRefused(Exception):
    """The query itself is wrong: answered without data and without code."""


class GraphError(Exception):
    """An error while running a query, with the code that the service gives."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, eq=False)
class Selection:
    """A field (``name``), or a fragment (``on``: its type condition); compared by identity."""

    name: str = ""
    key: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    on: str = ""
    spread: str = ""
    inside: tuple["Selection", ...] = ()


@dataclass(frozen=True)
class Variable:
    """``$name`` as an argument."""

    name: str


@dataclass(frozen=True, eq=False)
class Document:
    """Operations and fragments of a query; ``types``: every type that some fragment names, used or not."""

    operations: Mapping[str, tuple[Selection, ...]]
    fragments: Mapping[str, Selection]
    types: frozenset[str]


def parse(text: str) -> Document:
    """The document of a query text; QueryRefused when it cannot be read."""
    return _Parser(text).document()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if not found:
                raise QueryRefused("Parse error")
            if found[1]:
                self._tokens.append(found[1])
            place = found.end()
        self._at = 0
        self._types: set[str] = set()

    def document(self) -> Document:
        operations: dict[str, tuple[Selection, ...]] = {}
        fragments: dict[str, Selection] = {}
        while self._at < len(self._tokens):
            word = self._next()
            if word == "fragment":
                name = self._next()
                self._expect("on")
                fragments[name] = self._condition()
            elif word == "query":
                name = self._next() if self._peek() not in "({" else ""
                if self._peek() == "(":
                    self._skip_declarations()
                operations[name] = self._selections()
            elif word == "{":
                self._at -= 1
                operations[""] = self._selections()
            else:
                raise QueryRefused(f"Parse error on {word}")
        return Document(operations, fragments, frozenset(self._types))

    def _skip_declarations(self) -> None:
        while self._next() != ")":
            pass

    def _condition(self) -> Selection:
        on = self._next()
        self._types.add(on)
        return Selection(on=on, inside=self._selections())

    def _selections(self) -> tuple[Selection, ...]:
        self._expect("{")
        found = []
        while self._peek() != "}":
            found.append(self._selection())
        self._next()
        return tuple(found)

    def _selection(self) -> Selection:
        word = self._next()
        if word == "...":
            if self._peek() == "on":
                self._next()
                return self._condition()
            return Selection(spread=self._next())
        key = name = word
        if self._peek() == ":":
            self._next()
            name = self._next()
        arguments: dict[str, Any] = {}
        if self._peek() == "(":
            self._next()
            while self._peek() != ")":
                argument = self._next()
                self._expect(":")
                arguments[argument] = self._value()
            self._next()
        return Selection(name, key, arguments, inside=self._selections() if self._peek() == "{" else ())

    def _value(self) -> Any:
        word = self._next()
        if word == "$":
            return Variable(self._next())
        if word[0] == '"':
            return word[1:-1]
        if re.fullmatch(r"-?\d+", word):
            return int(word)
        return {"true": True, "false": False, "null": None}.get(word, word)

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise QueryRefused("Parse error: unexpected end")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, word: str) -> None:
        if self._next() != word:
            raise QueryRefused(f"Parse error, expected {word}")


Memo = Callable[[Mapping[str, Any], Selection, Callable[[], Any]], Any]


class Runner:
    """Runs one operation of a document. ``memo`` may answer for an object that was shown before."""

    def __init__(self, document: Document, variables: Mapping[str, Any], memo: Memo = lambda _, __, run: run()) -> None:
        self._document = document
        self._variables = variables
        self._memo = memo

    def run(self, operation: str, root: Mapping[str, Any]) -> dict[str, Any]:
        operations = self._document.operations
        if operation not in operations:
            raise QueryRefused(f"No operation named {operation}")
        return self._object(root, operations[operation])

    def _object(self, value: Mapping[str, Any], selections: tuple[Selection, ...]) -> dict[str, Any]:
        shown = self._typed(value)
        asked: dict[str, Selection] = {}
        for selection in self._fields(shown["__typename"], shown.get("__is", ()), selections):
            known = asked.get(selection.key)  # asked for twice: the inside of both
            asked[selection.key] = replace(selection, inside=known.inside + selection.inside) if known else selection
        found: dict[str, Any] = {}
        for selection in asked.values():
            if selection.name not in shown:
                raise QueryRefused(f"Field '{selection.name}' doesn't exist on type '{shown['__typename']}'")
            held = shown[selection.name]
            if callable(held):
                held = held(**{name: self._argument(told) for name, told in selection.arguments.items()})
            found[selection.key] = self._value(held, selection)
        return found

    def _typed(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        name = value["__typename"]
        while name in FALLBACK and name not in self._document.types:
            name = FALLBACK[name]
        return value if name == value["__typename"] else value["__older"](name)

    def _fields(self, name: str, wider: tuple[str, ...], selections: tuple[Selection, ...]) -> Iterator[Selection]:
        for selection in selections:
            if selection.name:
                yield selection
                continue
            if selection.spread and selection.spread not in self._document.fragments:
                raise QueryRefused(f"Fragment {selection.spread} was used, but not defined")
            inner = self._document.fragments[selection.spread] if selection.spread else selection
            if inner.on == name or inner.on in wider:
                yield from self._fields(name, wider, inner.inside)

    def _argument(self, told: Any) -> Any:
        return self._variables.get(told.name) if isinstance(told, Variable) else told

    def _value(self, held: Any, selection: Selection) -> Any:
        if isinstance(held, list):
            return [self._value(item, selection) for item in held]
        if isinstance(held, dict):
            return self._memo(held, selection, lambda: self._object(held, selection.inside))
        return held
