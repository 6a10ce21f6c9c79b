"""Signatures as a caller needs them: names of types that only the package knows are replaced by what they stand for."""

from collections.abc import Iterable, Iterator
from typing import Final

import griffe

from stack.api_reference import surface
from stack.api_reference.surface import PACKAGE, Name

_LONGEST: Final = 96  # characters on one line: what GitHub shows without scrolling


class Signatures:
    """Writes signatures and types of a package."""

    def __init__(self, package: griffe.Module) -> None:
        """``package`` is where names of types are looked up."""
        self._package = package

    def signature(self, name: Name) -> str:
        """How a name is called or read; one parameter a line where it is long."""
        path = name.name if isinstance(name.object.parent, griffe.Class) else f"{PACKAGE}.{name.name}"
        if isinstance(name.object, griffe.Attribute):
            return f"{path}: {self.type(name.object.annotation)}"
        if isinstance(name.object, griffe.Class) and not name.parameters:
            return f"class {path}({', '.join(map(str, name.object.bases))})"
        returns = f" -> {self.type(name.object.returns)}" if isinstance(name.object, griffe.Function) else ""
        parameters = list(self._parameters(name.parameters))
        line = f"{path}({', '.join(parameters)}){returns}"
        if len(line) <= _LONGEST:
            return line
        return "\n".join([f"{path}(", *(f"    {parameter}," for parameter in parameters), f"){returns}"])

    def type(self, annotation: griffe.Expr | str | None) -> str:
        """An annotation."""
        if isinstance(annotation, griffe.Expr):
            return "".join(self._token(each) for each in annotation.iterate())
        return _quoted(annotation)

    def _token(self, token: griffe.Expr | str) -> str:
        meant = surface.resolved(self._package, token)
        if isinstance(meant, griffe.Attribute) and isinstance(meant.value, griffe.Expr):
            return self.type(meant.value)
        return token.name if isinstance(token, griffe.ExprName) else _quoted(token)

    def _parameters(self, parameters: Iterable[griffe.Parameter]) -> Iterator[str]:
        star = False
        for parameter in parameters:
            if parameter.kind is griffe.ParameterKind.keyword_only and not star:
                star = True
                yield "*"
            default = "" if parameter.default is None else f" = {_quoted(parameter.default)}"
            yield f"{parameter.name}: {self.type(parameter.annotation)}{default}"


def _quoted(source: griffe.Expr | str | None) -> str:
    return str(source).replace("'", '"')
