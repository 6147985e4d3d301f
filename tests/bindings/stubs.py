# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compares the stubs for type checkers with the library: they contain neither more nor less."""

import ast
import inspect
import unittest
from pathlib import Path

import support  # requires the version
from gi import _gi
from gi.repository import GObject, TcpTunnel
from gi.overrides import TcpTunnel as overrides

STUB = Path(__file__).resolve().parents[2] / "python" / "gi-stubs" / "repository" / "TcpTunnel.pyi"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
INFOS = {info.get_name(): info for info in _gi.Repository.get_default().get_infos("TcpTunnel")}


def names(nodes):
    """Returns the names that the nodes define, with their nodes."""
    defined = {}
    for node in nodes:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            defined.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.AnnAssign):
            defined.setdefault(node.target.id, []).append(node)
        elif isinstance(node, ast.Assign):
            defined.setdefault(node.targets[0].id, []).append(node)
    return defined


MODULE = names(ast.parse(STUB.read_text()).body)


def is_public(name):
    return not name.startswith("_")


def class_names(name):
    """Returns the names that a class and its base classes define."""
    [node] = MODULE[name]
    defined = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in MODULE:
            defined.update(class_names(base.id))
    defined.update(names(node.body))
    return defined


def props_names(name):
    """Returns the names in the Props of a class, with those of the parent class."""
    [props] = class_names(name)["Props"]
    defined = set(names(props.body))
    for base in props.bases:
        if isinstance(base, ast.Name):
            defined |= class_names(base.id).keys()
        elif isinstance(base.value, ast.Name) and base.value.id in MODULE:
            defined |= props_names(base.value.id)
    return defined


def parameters(function):
    """Returns the names of the parameters, and whether each is optional, without self and cls."""
    arguments = function.args.posonlyargs + function.args.args
    required = len(arguments) - len(function.args.defaults)
    given = [(argument.arg, index >= required) for index, argument in enumerate(arguments)]
    if given and given[0][0] in ("self", "cls"):
        given.pop(0)
    given += [(argument.arg, False) for argument in [function.args.vararg] if argument]
    given += [(argument.arg, default is not None) for argument, default in zip(function.args.kwonlyargs, function.args.kw_defaults)]
    return given + [(argument.arg, True) for argument in [function.args.kwarg] if argument]


def runtime_parameters(function):
    if isinstance(function, (_gi.FunctionInfo, _gi.VFuncInfo)):
        arguments = [(argument.get_name(), argument.may_be_null()) for argument in function.get_arguments()]
        # Parameters at the end that may be NULL are optional.
        for index in reversed(range(len(arguments))):
            if not arguments[index][1]:
                return [(name, position > index) for position, (name, _) in enumerate(arguments)]
        return [(name, True) for name, _ in arguments]
    return [
        (name, parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD)
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self"
    ]


def methods(info):
    """Yields the methods, with those of the parent classes in this library."""
    while info is not None and info.get_namespace() == "TcpTunnel":
        yield from info.get_methods()
        info = info.get_parent()


def signals(type_):
    """Yields the signals, with those of the parent classes in this library."""
    for base in type_.__mro__:
        if base.__module__.endswith("TcpTunnel") and hasattr(base, "__gtype__"):
            yield from GObject.signal_list_names(base)


def settings(name):
    """Returns the keywords of a constructor, with those of a TypedDict."""
    if "__init__" not in class_names(name):
        return set()
    [node] = class_names(name)["__init__"]
    given = {argument for argument, _ in parameters(node)} - {"properties", "ca_file", "ca_data"}
    return given | class_names(node.args.kwarg.annotation.slice.id).keys()


def literals(name):
    """Returns the strings of a Literal."""
    [node] = MODULE[name]
    return {element.value for element in node.value.slice.elts}


def signals_of(connect):
    """Returns the signals of this overload of connect(); none for the overload of all others."""
    annotation = connect.args.posonlyargs[1].annotation
    if not isinstance(annotation, ast.Subscript):
        return []
    return [element.value for element in getattr(annotation.slice, "elts", [annotation.slice])]


class Stubs(unittest.TestCase):
    def test_module(self):
        functions = {"start_reverse_tcp_tunnel", "start_tcp_tunnel"}
        errors = {name for name, value in inspect.getmembers(overrides, inspect.isclass) if issubclass(value, overrides.Error)}
        self.assertGreater(len(errors), 10)
        expected = INFOS.keys() | {"Address"} | functions | errors
        self.assertEqual({name for name in MODULE if is_public(name)}, expected)
        self.assertGreater(len(expected), 10)
        for name in functions:
            self.assertEqual(parameters(MODULE[name][0]), runtime_parameters(getattr(TcpTunnel, name)))
        self.assertEqual(list(class_names("Address")), list(TcpTunnel.Address._fields))

    def test_enums(self):
        for name, info in INFOS.items():
            if isinstance(info, _gi.EnumInfo):
                members = {
                    member: nodes[0].value.value
                    for member, nodes in class_names(name).items()
                    if isinstance(nodes[0], ast.Assign)
                }
                self.assertEqual(members, {v.get_name().upper(): v.get_value() for v in info.get_values()}, name)

    def test_enum_names(self):
        for name, enum in (
            ("_ModeName", TcpTunnel.TunnelMode),
            ("_ResumptionName", TcpTunnel.TunnelResumption),
            ("_ProxyProtocolName", TcpTunnel.ProxyProtocol),
            ("_ForwardKindName", TcpTunnel.ForwardKind),
            ("_LogLevelName", TcpTunnel.TunnelLogLevel),
        ):
            self.assertEqual(literals(name), {getattr(enum, m).value_nick for m in dir(enum) if m.isupper()})

    def classes(self):
        for name, info in INFOS.items():
            if isinstance(info, _gi.ObjectInfo):
                yield name, info, getattr(TcpTunnel, name)

    def test_class_members(self):
        for name, info, type_ in self.classes():
            properties = {spec.name.replace("-", "_") for spec in GObject.list_properties(type_)}
            own = {method.get_name() for method in methods(info)}
            added = {
                member
                for base in type_.__mro__
                if base.__module__.startswith("gi.overrides.TcpTunnel")
                for member in vars(base)
                if is_public(member)
            }
            public = {member for member in class_names(name) if is_public(member)}
            # The stub has more details of these than their names.
            self.assertEqual(public, (properties | own | added | {"Props", "props", "connect"}) - {"set_property"})

    def test_properties(self):
        for name, _, type_ in self.classes():
            for spec in GObject.list_properties(type_):
                node = class_names(name)[spec.name.replace("-", "_")][0]
                is_writable = bool(spec.flags & GObject.ParamFlags.WRITABLE)
                self.assertEqual(isinstance(node, ast.AnnAssign), is_writable, spec.name)

    def test_props(self):
        for name, _, type_ in self.classes():
            self.assertEqual(
                props_names(name),
                {spec.name.replace("-", "_") for spec in GObject.list_properties(type_)})

    def test_settings(self):
        for name, _, type_ in self.classes():
            self.assertEqual(settings(name), {
                spec.name.replace("-", "_") for spec in GObject.list_properties(type_)
                if spec.flags & GObject.ParamFlags.WRITABLE})

    def test_parameters(self):
        for name, info, type_ in self.classes():
            for method, nodes in class_names(name).items():
                if is_public(method) and isinstance(nodes[0], FUNCTIONS) and method not in ("props", "connect"):
                    function = getattr(type_, method)
                    if not isinstance(function, property):
                        self.assertEqual(parameters(nodes[0]), runtime_parameters(function), method)
            if "__init__" in class_names(name):
                self.assertEqual(parameters(class_names(name)["__init__"][0]), runtime_parameters(type_.__init__))

    def test_nullable(self):
        for name, info, _ in self.classes():
            for method in methods(info):
                if method.get_name().startswith("get_"):
                    [node] = class_names(name)[method.get_name()]
                    self.assertEqual("None" in ast.unparse(node.returns), method.may_return_null(), method.get_name())

    def test_signals(self):
        for name, _, type_ in self.classes():
            typed = [signal for node in class_names(name)["connect"] for signal in signals_of(node)]
            self.assertEqual(sorted(typed), sorted(set(signals(type_))))
            for node in class_names(name)["connect"][:-1]:
                arguments = node.args.posonlyargs[2].annotation.slice.elts[0].elts
                for signal in signals_of(node):
                    self.assertEqual(len(arguments) - 1, len(GObject.signal_query(signal, type_).param_types), signal)


unittest.main(verbosity=2)
