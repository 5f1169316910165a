"""What one Python file imports, by its text alone."""

from __future__ import annotations

import pytest

from nmoe_graph.inputs.imports import import_facts


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("import a.b as c, d", {("import", "a.b"), ("import", "d")}),
        ("from a import b, c", {("from", 0, "a", "b", "c")}),
        ("from ..a import *", {("from", 2, "a", "*")}),
        ("from . import b", {("from", 1, "", "b")}),
        ("def f():\n    import a", {("import", "a")}),
        ("try:\n    import a\nexcept ImportError:\n    import b", {("import", "a"), ("import", "b")}),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", {("import", "b")}),
        ("if typing.TYPE_CHECKING:\n    import a", set()),
        ("if not TYPE_CHECKING:\n    import a", {("import", "a")}),
        ("import_module('a.b')", {("import", "a.b")}),
        ("importlib.import_module('.b', __package__)", {("from", 1, "b")}),
        ("__import__('a')", {("import", "a")}),
        ("import_module(f'a.{x}')", {("package", "a")}),
        ("import_module('a.' + x)", {("package", "a")}),
        ("import_module('a.%s' % x)", {("package", "a")}),
        ("import_module(__name__ + x)", {("own",)}),
        ("import_module(f'{__package__}.{x}')", {("own",)}),
        ("import_module(f'.{x}', __package__)", {("own",)}),
        ("import_module(x)", {("anything", 1)}),
        ("__all__ = ['a', 'b']", {("all", "a", "b")}),
        ("pytest_plugins = ['a.b', 'c']", {("import", "a.b"), ("import", "c")}),
        ("x = 'import a'", set()),
        ("import_module('.b', 'p.q')", {("import", "p.q.b")}),
        ("import_module('..b', 'p.q')", {("import", "p.b")}),
        ("import_module('.' + x, 'p.q')", {("package", "p.q")}),
        ("import_module(name='a')", {("import", "a")}),
        ("import_module(*x)", {("anything", 1)}),
        ("import_module('a.{}'.format(x))", {("package", "a")}),
        ("from importlib import import_module as load\nload(x)", {("from", 0, "importlib", "import_module"), ("anything", 2)}),
        ("f = importlib.import_module", {("anything", 1)}),
        ("for n in ('a', 'b.c'):\n    import_module(n)", {("import", "a"), ("import", "b.c")}),
        ("N = 'a'\nimport_module(N + '.b')", {("import", "a.b")}),
        ("def f():\n    for n in ('a', 'b'):\n        __import__(n)\ndef g(n):\n    n", {("import", "a"), ("import", "b")}),
        ("for n in ('a', 'b'):\n    found[n] = __import__(n).x", {("import", "a"), ("import", "b")}),
        ("def f():\n    def g():\n        __import__(n)\n    n = x\nn = 'a'", {("anything", 3)}),
        ("def f():\n    n = 'a'\n    def g():\n        nonlocal n\n        n = x\n    __import__(n)", {("anything", 6)}),
        ("for n in ('a', x):\n    import_module(n)", {("anything", 2)}),
        ("n = 'a'\nn = x\nimport_module(n)", {("anything", 3)}),
        ("n = 'a'\ndef f(n):\n    import_module(n)", {("anything", 3)}),
        ("n = 'a' if x else y\nimport_module(n)", {("anything", 2)}),
        ("m = 'a'\nm += x\nn = m\nimport_module(n)", {("anything", 4)}),
        ("n = 'a'\nfrom x import n\nimport_module(n)", {("anything", 3), ("from", 0, "x", "n")}),
        ("map(__import__, x)", {("anything", 1)}),
        ("__import__('a', globals(), locals(), ['b'], 1)", {("from", 1, "a", "b")}),
        ("__import__('a', fromlist=['b'])", {("from", 0, "a", "b")}),
        ("TYPE_CHECKING = True\nif TYPE_CHECKING:\n    import a", {("import", "a")}),
        ("__all__ = ['a'] + b.__all__", {("all", "a", "*")}),
        ("pytest_plugins = 'a.b'", {("import", "a.b")}),
        ("pytest.importorskip('a')", {("import", "a")}),
        ("find_spec(x)", set()),
        ("mock.patch('a.b.c')", {("import", "a.b.c")}),
        ("runpy.run_module('a.b')", {("run", "module", "a.b")}),
        ("runpy.run_path('a/b.py')", {("run", "script", "a/b.py")}),
        ("run([sys.executable, '-m', 'a.b', x])", {("run", "module", "a.b")}),
        ("cmd = [python, '-c', 'import a']", {("run", "code", "import a")}),
        ("subprocess.run('python -m a')", {("run", "shell", "python -m a")}),
        ("check_output(['tool', x])", {("run", "word", "tool")}),
        ("entry_points(group='a.b')", {("entries", "a.b")}),
        ("entry_points()", {("entries", "")}),
        ("iter_modules(__path__)", {("own",)}),
        ("walk_packages()", {("anything", 1)}),
        ("exec('import a')", {("import", "a")}),
        ("Path(__file__).parent / 'a' / 'b'", {("open", "", "../a/b")}),
        ("Path(__file__, '..', 'a').resolve()", {("open", "", "../a")}),
        ("Path(__file__).resolve().parents[1].joinpath('a', 'b')", {("open", "", "../../a/b")}),
        ("Path(__file__).with_name('a')", {("open", "", "../a")}),
        ("os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, 'a')", {("open", "", "../../a")}),
        ("os.path.split(__file__)[0] + '/a'", {("open", "", "../a")}),
        ("f'{os.path.dirname(__file__)}/a'", {("open", "", "../a")}),
        ("HERE = Path(__file__).parent\nopen(HERE / 'a')", {("const", "HERE", "", ".."), ("open", "", "../a")}),
        ("def f():\n    here = Path(__file__).parent\n    return here / 'a'", {("open", "", "../a")}),
        ("for n in ('a', 'b'):\n    open(Path(__file__).parent / n)", {("open", "", "../a"), ("open", "", "../b")}),
        ("def f(n):\n    return Path(__file__).parent / n", {("below", "", "..")}),
        ("os.path.join(os.path.dirname(__file__), 'a', n)", {("below", "", "..")}),
        ("f'{os.path.dirname(__file__)}/a/{n}.txt'", {("below", "", "../a")}),
        ("Path(__file__).parent.glob('*.txt')", {("glob", "", "..", "*.txt")}),
        ("Path(__file__).parent.rglob('*.txt')", {("glob", "", "..", "**/*.txt")}),
        ("glob.glob(os.path.join(os.path.dirname(__file__), 'a', '*.txt'))", {("glob", "", "../a", "*.txt")}),
        ("os.listdir(os.path.dirname(__file__))", {("open", "", "..")}),
        ("use(Path(__file__).parent / 'a')", {("open", "", "../a")}),
        ("open(__file__)", {("open", "", ".")}),
        ("use(__file__)", {("open", "", "..")}),
        ("assert x == __file__", set()),
        ("print(Path(__file__).name)", set()),
        ("import a.b\nopen(os.path.join(os.path.dirname(a.b.__file__), 'c'))", {("import", "a.b"), ("open", "a.b", "../c")}),
        ("sys.path.insert(0, os.path.dirname(__file__))", {("path", "", "..")}),
        ("sys.path.append('lib')", {("path", "cwd", "lib")}),
        ("sys.path = [str(Path(__file__).parent)] + sys.path", {("path", "", "..")}),
        ("open('a/b.txt')", {("cwd", "a/b.txt")}),
        ("open('/etc/hosts')", set()),
        ("importlib.resources.files('a').joinpath('b')", {("open", "a", "../b")}),
        ("importlib.resources.files('a') / 'b' / 'c'", {("open", "a", "../b/c")}),
        ("importlib.resources.files(__package__) / 'b'", {("open", "", "../b")}),
        ("importlib.resources.files('a') / n", {("below", "a", "..")}),
        ("importlib.resources.read_text('a', 'b')", {("open", "a", "../b")}),
        ("importlib.resources.open_text('a', n)", {("below", "a", "..")}),
        ("pkgutil.get_data(__name__, 'b')", {("open", "", "../b")}),
        ("importlib.resources.read_text(p, 'b')", {("anything", 1)}),
    ],
)
def test_facts_of_a_file(source: str, facts: set[tuple[object, ...]]) -> None:
    """What one file imports, read from its syntax alone."""
    assert set(import_facts(source.encode())) == facts


def test_a_file_that_cannot_be_parsed_is_scanned() -> None:
    """It is scanned instead, which finds more than there is: who runs it on a newer Python must not miss an import."""
    assert import_facts(b"") == ()
    assert ("import", "a") in import_facts(b"type X = int\nimport a\n")
    found = import_facts(b'"""\nimport a\n"""\nfrom . import (b,  # c\n  d)\nimport_module("e.f"); import g as h, i\ndef f(:')
    assert set(found) == {("import", "a"), ("from", 1, "", "b", "d"), ("import", "e.f"), ("import", "g"), ("import", "i")}
    assert ("anything", 1) in import_facts(b"import_module(x)\ntype X = int")
