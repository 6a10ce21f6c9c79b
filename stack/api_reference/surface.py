"""What applications use of the package, read from its source without importing it.

Public is what ``__all__`` says and what modules without an underscore define, with methods and properties of classes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import griffe

from stack.api_reference.sections import OTHER_PAGES, SECTIONS
from stack.generated_page import PageError
from stack.settings import Settings

PACKAGE: Final = "genai_observability"
_WITH: Final = ("__enter__", "__aenter__")
_VARIABLE: Final = re.compile(r"'((?:GENAI_OBSERVABILITY|OTEL)_[A-Z_]+)'")


@dataclass(frozen=True, kw_only=True)
class Name:
    """A public name, such as ``Handle`` or ``Handle.shutdown``; ``givers`` are what returns an object of a class."""

    name: str
    object: griffe.Object
    givers: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> list[griffe.Parameter]:
        """What a caller gives: nothing for a class whose objects are only returned."""
        if self.givers or not isinstance(self.object, griffe.Function | griffe.Class):
            return []
        return [parameter for parameter in self.object.parameters if parameter.name != "self"]

    @property
    def members(self) -> "list[Name]":
        """Public methods and properties, in the order of the source."""
        return [
            Name(name=f"{self.name}.{name}", object=member)
            for name, member in self.object.members.items()
            if isinstance(member, griffe.Object)
            and not name.startswith("_")
            and (member.is_function or "property" in member.labels)
        ]


def package() -> griffe.Module:
    """The package as it is written."""
    source = Settings.load().root / "instrumentation" / "src"
    loaded = griffe.load(
        PACKAGE, search_paths=[source], allow_inspection=False, docstring_parser="google", resolve_aliases=True
    )
    if not isinstance(loaded, griffe.Module):
        raise PageError(f"{source / PACKAGE} is no package.")
    return loaded


def public(module: griffe.Module) -> dict[str, griffe.Object]:
    """Every public name but those of modules with a page of their own."""
    found = {str(name): _at(module, str(name)) for name in module.exports or ()}
    for name, other in module.modules.items():
        if not name.startswith("_") and name not in OTHER_PAGES:
            for own, member in other.members.items():
                if isinstance(member, griffe.Class | griffe.Function) and not own.startswith("_"):
                    found[f"{name}.{own}"] = member
    return found


def sections(module: griffe.Module) -> list[list[Name]]:
    """The names of each of ``SECTIONS``.

    Raises:
        PageError: a public name is in no section, a section has what is not public, or a public function returns an
            object of a class that is not.
    """
    names = public(module)
    placed = [name for section in SECTIONS for name in section.names]
    for name in sorted(names.keys() - set(placed)):
        raise PageError(f"{PACKAGE}.{name} is public and in no section: add it in stack/api_reference/sections.py.")
    for name in sorted(set(placed) - names.keys()):
        raise PageError(f"{PACKAGE}.{name} is not public: take it out of stack/api_reference/sections.py.")
    returned = _returned(module, [names[name] for name in placed])
    for class_ in returned.keys() - set(names.values()):
        raise PageError(f"{PACKAGE} has to export {class_.name}, as {returned[class_][0]} gives it.")
    return [
        [Name(name=name, object=names[name], givers=returned.get(names[name], [])) for name in section.names]
        for section in SECTIONS
    ]


def _returned(module: griffe.Module, objects: list[griffe.Object]) -> dict[griffe.Object, list[str]]:
    """The package's classes of which public functions return an object, with those functions."""
    returned: dict[griffe.Object, list[str]] = {}
    queue = list(objects)
    for each in queue:
        functions = [each, *(member for member in each.members.values() if isinstance(member, griffe.Function))]
        for function in functions:
            if isinstance(function, griffe.Function) and _is_called(function):
                for class_ in _classes(module, function.returns):
                    returned.setdefault(class_, []).append(_called(function))
                    if class_ not in queue:
                        queue.append(class_)
    return returned


def _is_called(function: griffe.Function) -> bool:
    return not function.name.startswith("_") or function.name in _WITH


def _called(function: griffe.Function) -> str:
    if not isinstance(function.parent, griffe.Class):
        return f"{function.name}()"
    return function.parent.name if function.name in _WITH else f"{function.parent.name}.{function.name}()"


def _classes(module: griffe.Module, annotation: griffe.Expr | str | None) -> list[griffe.Class]:
    found = [resolved(module, token) for token in annotation.iterate()] if isinstance(annotation, griffe.Expr) else []
    return [each for each in found if isinstance(each, griffe.Class)]


def resolved(module: griffe.Module, token: object) -> griffe.Object | None:
    """What of the package a name in an annotation stands for."""
    if not isinstance(token, griffe.ExprName) or not token.canonical_path.startswith(f"{PACKAGE}."):
        return None
    return _at(module, token.canonical_path.removeprefix(f"{PACKAGE}."))


def _at(module: griffe.Module, path: str) -> griffe.Object:
    found = module[path]
    return found.final_target if isinstance(found, griffe.Alias) else found


def documentation(name: Name) -> list[griffe.DocstringSection]:
    """The parts of a name's docstring.

    Raises:
        PageError: there is none, or it leaves out a parameter or an attribute, or has one that is not there.
    """
    if name.object.docstring is None or not name.object.docstring.value.strip():
        raise PageError(f"{_where(name)} has no docstring.")
    parsed = name.object.docstring.parse(warnings=False, returns_multiple_items=False, returns_named_value=False)
    described = {
        item.name
        for part in parsed
        if isinstance(part, griffe.DocstringSectionParameters | griffe.DocstringSectionAttributes)
        for item in part.value
    }
    expected = {parameter.name for parameter in name.parameters} or set(_attributes(name))
    for wrong in sorted(described ^ expected):
        problem = "does not describe" if wrong in expected else "describes what is not there:"
        raise PageError(f"The docstring of {_where(name)} {problem} {wrong}.")
    return parsed


def _attributes(name: Name) -> Iterator[str]:
    if isinstance(name.object, griffe.Class):
        for attribute, member in name.object.attributes.items():
            if not attribute.startswith("_") and "property" not in member.labels:
                yield attribute


def _where(name: Name) -> str:
    place = name.object.filepath
    file = place.name if not isinstance(place, list) else PACKAGE
    return f"{PACKAGE}.{name.name} ({file}, line {name.object.lineno})"


def variables(module: griffe.Module) -> dict[str, str]:
    """The environment variables of the package, with the docstrings of the constants that hold their names.

    Raises:
        PageError: such a constant has no docstring.
    """
    found: dict[str, str] = {}
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            found |= variables(member)
        elif isinstance(member, griffe.Attribute) and (match := _VARIABLE.fullmatch(str(member.value))):
            if member.docstring is None:
                raise PageError(f"{member.path} = {member.value} has no docstring: say below it what it does.")
            found[match[1]] = member.docstring.value
    return found
