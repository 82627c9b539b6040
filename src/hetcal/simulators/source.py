"""What a function's code says: its source in a normal form, the names and modules it uses.

Source is read only where the file still compiles to the very code that runs; a file edited since the import
would otherwise speak for code that it no longer holds.
"""

from __future__ import annotations

import ast
import copy
import dis
import functools
import importlib.util
import linecache
import types
from collections.abc import Iterator
from typing import Any


def nested_codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and all nested in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested_codes(constant)


@functools.lru_cache(maxsize=None)
def names_used(code: types.CodeType, *operations: str) -> frozenset[str]:
    """Names that the given operations of the code, nested code included, act on."""
    found = (i for inner in nested_codes(code) for i in dis.get_instructions(inner))
    return frozenset(i.argval for i in found if i.opname in operations)


@functools.lru_cache(maxsize=None)
def imports_made(code: types.CodeType, package: str | None) -> frozenset[str]:
    """Absolute names of the modules that the code imports while running."""
    found = set()
    for inner in nested_codes(code):
        instructions = list(dis.get_instructions(inner))
        for k, instruction in enumerate(instructions):
            if instruction.opname == "IMPORT_NAME":
                level = instructions[k - 2].argval  # the compiler puts level and names just before
                found.add(importlib.util.resolve_name("." * level + instruction.argval, package))
    return frozenset(found)


def constants_of(code: types.CodeType) -> tuple[Any, ...]:
    """Constants without the docstring, which comes first when the first statement is a text."""
    constants = code.co_consts
    return constants[1:] if constants and isinstance(constants[0], str) else constants


def _signature(code: types.CodeType) -> tuple[Any, ...]:
    """What makes two code objects do the same, wherever they stand."""
    constants = tuple(_signature(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts)
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, constants


@functools.lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[ast.Module, tuple[types.CodeType, ...]]:
    """Syntax tree of a file and all code compiled from it."""
    try:
        tree = ast.parse(text)
        return tree, tuple(nested_codes(compile(text, "source", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return ast.Module([], []), ()


@functools.lru_cache(maxsize=None)
def normalised_source(code: types.CodeType) -> str | None:
    """Normalised source of a function; None unless its file still compiles to this very code.

    Read once a process: an edit of the file while a study runs does not touch the code that is loaded.
    """
    linecache.checkcache(code.co_filename)
    tree, compiled = _parsed("".join(linecache.getlines(code.co_filename)))
    signature = _signature(code)
    lines = {c.co_firstlineno for c in compiled if c.co_name == code.co_name and _signature(c) == signature}
    nodes = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        and getattr(node, "name", "<lambda>") == code.co_name
        and min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) in lines
    ]
    texts = {ast.unparse(_without_docstrings(node)) for node in nodes}
    return texts.pop() if len(texts) == 1 else None


def _without_docstrings(node: ast.AST) -> ast.AST:
    """A copy of a definition without its docstrings."""
    node = copy.deepcopy(node)
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            if isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
                body[0].value.value = ""
    return node
