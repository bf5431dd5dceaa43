"""Faults made from a module's syntax tree: each replaces one expression by a likely mistake."""

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "/",
    ast.Mod: "//",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
_OPPOSITES = ("min", "max"), ("any", "all"), ("any_horizontal", "all_horizontal"), ("min_horizontal", "max_horizontal")
_RENAMED = {one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])}
_TELLING = ("how", "side", "nulls_equal", "maintain_order", "strict")  # arguments whose default means something else
_MEANING = frozenset(  # calls that change values; without others, such as select and lazy, code fails or means the same
    "sort unique drop_nulls filter fill_null explode strip lstrip rstrip lower upper casefold zfill quantize".split()
)
_LONGEST = 80
_PASSED_OVER = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom, ast.JoinedStr)  # wording, and what mypy holds


Change = tuple[ast.AST | tuple[int, int], str, str]  # what to replace, by what, and both in words


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is planted, and its text.

    Its name says the function and what changes, with a number where several are alike: it survives edits elsewhere.
    """

    path: str
    name: str
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """The module with this fault."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def plant(path: str, source: bytes) -> list[Mutant]:
    """Every fault of a module, in the order of its text."""
    seen: Counter[str] = Counter()
    found = []
    for mutant in _Planter(path, source).visit(ast.parse(source), "module"):
        seen[mutant.name] += 1
        number = f" #{seen[mutant.name]}" if seen[mutant.name] > 1 else ""
        found.append(replace(mutant, name=mutant.name + number))
    return found


class _Planter:
    def __init__(self, path: str, source: bytes) -> None:
        self.path = path
        self.source = source
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def visit(self, node: ast.AST, function: str) -> Iterator[Mutant]:
        if isinstance(node, _PASSED_OVER):
            return
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            function = node.name if function == "module" else f"{function}.{node.name}"
            for statement in node.body:  # neither decorators nor annotations nor defaults
                yield from self.visit(statement, function)
            return
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from self.visit(node.value, function)
            return
        for place, text, words in self._changes(node):
            start, end = place if isinstance(place, tuple) else self._span(place)
            yield Mutant(self.path, f"{function}: {words}", start, end, text)
        for child in ast.iter_child_nodes(node):
            yield from self.visit(child, function)

    def _changes(self, node: ast.AST) -> Iterator[Change]:
        match node:
            case ast.Compare(left=left, ops=[operator], comparators=[right]) if type(operator) in _COMPARISONS:
                yield self._between(node, left, _COMPARISONS[type(operator)], right)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
                yield self._between(node, left, _OPERATORS[type(operator)], right)
            case ast.BoolOp(op=operator, values=values):
                word = "or" if isinstance(operator, ast.And) else "and"
                yield node, f"({f' {word} '.join(map(self._of, values))})", f"{self._words(node)} -> {word}"
            case ast.UnaryOp(op=ast.Not() | ast.Invert() | ast.USub(), operand=operand):
                yield node, f"({self._of(operand)})", f"{self._words(node)} -> {self._words(operand)}"
            case ast.Constant(value=bool(value)):
                yield node, str(not value), f"{value} -> {not value}"
            case ast.Constant(value=int(value) | float(value)):
                yield node, f"({value + 1!r})", f"{value!r} -> {value + 1!r}"
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                yield test, f"(not {self._of(test)})", f"if {self._words(test)} -> not"
            case ast.comprehension(ifs=ifs):
                for test in ifs:
                    yield test, "True", f"if {self._words(test)} -> dropped"
            case ast.Call():
                yield from self._calls(node)

    def _calls(self, node: ast.Call) -> Iterator[Change]:
        if isinstance(node.func, ast.Attribute):
            owner, name = node.func.value, node.func.attr
            end = self._span(node.func)[1]
            if name in _MEANING:
                call = self._shorten(self.source[self._span(owner)[1] : self._span(node)[1]])
                yield node, f"({self._of(owner)})", f"{call} -> dropped"
            if name in _RENAMED:
                yield (end - len(name), end), _RENAMED[name], f".{name} -> .{_RENAMED[name]}"
        for keyword in node.keywords:
            if isinstance(keyword.value, ast.Constant) and keyword.arg in _TELLING:
                yield keyword, "**{}", f"{self._words(keyword)} -> dropped"

    def _between(self, node: ast.AST, left: ast.AST, operator: str, right: ast.AST) -> Change:
        return node, f"({self._of(left)} {operator} {self._of(right)})", f"{self._words(node)} -> {operator}"

    def _of(self, node: ast.AST) -> str:
        text = self.source[slice(*self._span(node))].decode()
        return text if isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Constant) else f"({text})"

    def _words(self, node: ast.AST) -> str:
        return self._shorten(self.source[slice(*self._span(node))])

    @staticmethod
    def _shorten(text: bytes) -> str:
        words = " ".join(text.decode().split())
        return words if len(words) <= _LONGEST else f"{words[: _LONGEST // 2]} ... {words[-_LONGEST // 2 :]}"

    def _span(self, node: ast.AST) -> tuple[int, int]:
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        start, end = node.col_offset, node.end_col_offset  # type: ignore[attr-defined]
        return self.lines[first - 1] + start, self.lines[last - 1] + end
