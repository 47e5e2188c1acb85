"""From `_target_` to an object: what is checked before it is called, and what is said."""

import sys
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from src.errors import UserError
from src.targets import bind, call, locate, suggest


def annotated(
    *,
    units: Annotated[int, Field(gt=0)],
    mode: Literal["fast", "slow"] = "fast",
    sizes: list[int] | None = None,
) -> dict[str, Any]:
    return {"units": units, "mode": mode, "sizes": sizes}


def unannotated(learning_rate=0.1, nesterov=False, name="x", **others):
    return {"learning_rate": learning_rate, "nesterov": nesterov, "name": name, **others}


def positional_only(first, /, second):
    return first, second


def refuses(value: int) -> int:
    raise ValueError(f"\n  {value} is too many  \nsecond line")


def refuses_politely(value: int) -> int:
    raise UserError(f"model.value={value}: give less")


def breaks(value: int) -> int:
    raise ZeroDivisionError("a mistake in the code, not in the configuration")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write modules into a folder on the path; what they import is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name: str, text: str) -> None:
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def message(function: Callable, *arguments, **named) -> str:
    with pytest.raises(UserError) as raised:
        function(*arguments, **named)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# -- locate


def test_a_function_a_class_and_a_method_are_found(module):
    module("shapes_a", "class Outer:\n  class Inner:\n    def make(self): ...\ndef plain(): ...")
    assert locate("shapes_a.plain", "model._target_").__name__ == "plain"
    assert locate("shapes_a.Outer", "model._target_").__name__ == "Outer"
    assert locate("shapes_a.Outer.Inner", "model._target_").__name__ == "Inner"
    assert locate("os.path.join", "model._target_") is __import__("os").path.join


def test_a_module_in_a_package_is_imported(module):
    module("parts/inner_b", "def plain(): return 7")
    assert locate("parts.inner_b.plain", "model._target_")() == 7


@pytest.mark.parametrize(
    ("dotted", "said"),
    [
        ("no_such_module_c.Model", "no module named 'no_such_module_c'; is its folder on"),
        ("Model", "give it as module.name"),
        ("", "give it as module.name"),
        ("my-models.Model", "give it as module.name"),
        ("collections..deque", "give it as module.name"),
        ("collections.deqeu", "collections has no 'deqeu'; did you mean deque?"),
        ("collections.deque.apend", "collections.deque has no 'apend'; did you mean"),
        ("math.pi", "it is not a class or a function"),
        ("src.models.nothing_here.Model", "src.models has no 'nothing_here'"),
    ],
)
def test_what_cannot_be_found_is_said_with_the_key(dotted, said):
    text = message(locate, dotted, "model._target_")
    assert text.startswith(f"model._target_={dotted}: ")
    assert said in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("import no_such_dependency_d", "No module named 'no_such_dependency_d'"),
        ("raise RuntimeError('no licence\\nfound')", "no licence"),
        ("def broken(:", "invalid syntax"),
        ("1 / 0", "division by zero"),
    ],
)
def test_a_module_that_fails_to_import_says_why(module, content, said):
    module("failing_e", content)
    text = message(locate, "failing_e.Model", "model._target_")
    assert text.startswith("model._target_=failing_e.Model: importing it failed: ")
    assert said in text


# -- bind and call


def test_arguments_are_passed_and_what_is_offered_fills_the_gaps():
    offered = {"units": 3, "sizes": [1], "unknown": "not asked for"}
    assert call(annotated, {}, key="model", offered=offered) == {
        "units": 3,
        "mode": "fast",
        "sizes": [1],
    }
    # What the configuration says wins over what is offered.
    assert call(annotated, {"units": 5}, key="model", offered=offered)["units"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"units": 0}, "model.units=0: input should be greater than 0"),
        ({"units": "three"}, "model.units=three: input should be a valid integer"),
        ({"units": 3, "mode": "quick"}, "model.mode=quick: input should be 'fast' or 'slow'"),
        ({"units": 3, "sizes": [1, "b"]}, "model.sizes.1=b: input should be a valid integer"),
        ({}, "model.units: annotated needs a value for it"),
        ({"unitz": 3}, "model.unitz: annotated takes no such argument; did you mean units?"),
        ({"units": 3, "q": 3}, "model.q: annotated takes no such argument; it has mode, sizes"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(arguments, said):
    assert message(call, annotated, arguments, key="model").startswith(said)


def test_an_argument_without_annotation_is_judged_by_its_default():
    assert message(call, unannotated, {"learning_rate": "fast"}, key="optimizer").startswith(
        "optimizer.learning_rate=fast: input should be a valid"
    )
    assert message(call, unannotated, {"nesterov": "maybe"}, key="optimizer").startswith(
        "optimizer.nesterov=maybe: input should be a valid boolean"
    )
    given = {"learning_rate": 1, "nesterov": True, "name": None, "further": object}
    assert call(unannotated, given, key="optimizer") == given


def test_a_number_keeps_its_value():
    value = bind(unannotated, {"learning_rate": 1e-3}, key="optimizer")["learning_rate"]
    assert value == 1e-3
    assert type(value) is float
    assert bind(unannotated, {"learning_rate": None}, key="optimizer")["learning_rate"] is None


def test_a_positional_only_argument_is_not_the_configurations():
    text = message(call, positional_only, {"first": 1, "second": 2}, key="model")
    assert text.startswith("model.first: positional_only takes no such argument")


def test_a_class_is_checked_by_its_constructor():
    class Model:
        def __init__(self, width: int) -> None:
            self.width = width

    assert call(Model, {"width": 2}, key="model").width == 2
    assert message(call, Model, {"width": "wide"}, key="model").startswith("model.width=wide: ")


def test_annotations_for_a_type_checker_alone_do_no_harm():
    def function(value: "NoSuchType" = 1):  # type: ignore[name-defined]  # noqa: F821
        return value

    assert call(function, {"value": 2}, key="model") == 2


def test_a_refusal_by_the_callee_is_one_line_under_the_key():
    assert message(call, refuses, {"value": 3}, key="loss") == "loss: 3 is too many"
    # Its own words where it has some, and no word where it is the code that is wrong.
    assert message(call, refuses_politely, {"value": 3}, key="model") == "model.value=3: give less"
    with pytest.raises(ZeroDivisionError):
        call(breaks, {"value": 3}, key="model")


# -- suggest


def test_suggestions():
    assert suggest("adm", ["sgd", "adam", "adamw"]) == "; did you mean adam or adamw?"
    assert suggest("xyz", ["b", "a"]) == "; it has a, b"
    assert suggest("xyz", []) == ""
    assert suggest("xyz", [f"long_name_{number}" for number in range(13)]) == ""
