"""Jinja as chat templates use it, with limits of work and size.

The environment renders what `transformers` renders, byte for byte: the same sandbox, filters and functions, and
``{% generation %}`` blocks. Every loop, macro and block charges a step, and every operation that can build something
large charges its size (`limits`, `guards`).
"""

from __future__ import annotations

from types import BuiltinMethodType
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from curate.engines.tokens.filters import guarded, guarded_filters
from curate.engines.tokens.guards import METHODS, OPERATORS, check_format
from curate.engines.tokens.limits import joined, sized, tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2.compiler import Frame
    from jinja2.runtime import Context


PARTS = 16
"""Parts of a sum that are added before their size is charged."""


class BoundedGenerator(CodeGenerator):
    """Compiles a template with a step at the head of each body that can run often, and charges of built values."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        """Compile a template."""
        repeated = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)
        self._depths: dict[int, int] = {}
        self._bodies = {id(one.body) for one in node.find_all(repeated)}  # type: ignore[attr-defined]
        super().visit_Template(node, frame)

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        """Compile the statements of a body."""
        if id(nodes) in self._bodies:
            self.writeline("environment.tick()")
        super().blockvisit(nodes, frame)

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:
        """Compile ``a + b``; of a sum of several, every sixteenth part is charged, and the whole."""
        depth = self._depths.pop(id(node), 0)
        if isinstance(node.left, nodes.Add):
            self._depths[id(node.left)] = depth + 1
        self._charged(super().visit_Add, node, frame, depth % PARTS != 0)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        """Compile ``a ~ b``."""
        self._charged(super().visit_Concat, node, frame)

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        """Compile a list; one of constants only is as long as its source."""
        self._charged(super().visit_List, node, frame, all(isinstance(item, nodes.Const) for item in node.items))

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        """Compile a tuple, which may be the target of an assignment."""
        self._charged(super().visit_Tuple, node, frame, node.ctx != "load")

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """Compile a dict."""
        self._charged(super().visit_Dict, node, frame)

    def _charged(self, visit: Callable[[Any, Frame], None], node: nodes.Node, frame: Frame, free: bool = False) -> None:
        self.write("" if free else "environment.sized(")
        visit(node, frame)
        self.write("" if free else ")")


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox of chat templates with limits."""

    code_generator_class = BoundedGenerator
    intercepted_binops = frozenset(OPERATORS)
    tick = staticmethod(tick)
    sized = staticmethod(sized)

    def __init__(self, extensions: Iterable[Any]) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=list(extensions))
        self.filters = guarded_filters(self.filters)
        del self.globals["lipsum"]  # random text of any length
        self.globals |= {"raise_exception": _raise, "dict": _Dict(), "namespace": _Namespace}

    concat = staticmethod(joined)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``."""
        if type(left) is int and operator == "%":
            return left % right
        OPERATORS[operator](left, right)
        return sized(super().call_binop(context, operator, left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: B902
        """Call a function, macro or method."""
        if type(__obj) is BuiltinMethodType:
            if (check := METHODS.get(__obj.__name__)) and isinstance(__obj.__self__, (str, bytes, int)):
                if __obj.__name__ == "join" and args:
                    args = (list(args[0]),)  # a generator can be read once only
                check(__obj.__self__, *args, **_named(kwargs))
        elif args or kwargs:
            # A macro may keep its arguments in ``varargs``, and ``cycler`` in ``items``.
            kept = [value for value in (*args, *_named(kwargs).values()) if isinstance(value, (list, tuple, dict))]
            if kept:
                sized(kept)
        return sized(super().call(__context, __obj, *args, **kwargs))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Return the method ``format`` of a text with its guard."""
        function = super().wrap_str_format(value)
        if function is None:
            return None
        return guarded(lambda *args, **kwargs: check_format(value.__self__, *args, **kwargs), function)


def _named(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return named arguments without the variables that Jinja passes along from loops and blocks."""
    return {name: value for name, value in arguments.items() if name[0] != "_"}


def _raise(message: str) -> None:
    raise TemplateError(message)


class _Dict:
    """The function ``dict`` without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace without underscored names, whose contents cannot be printed: it may hold itself many times."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            _check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        Namespace.__setitem__(self, name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"chat templates cannot store underscored attributes in a namespace, but got {name!r}")
