"""agent_runtime.schema: small schemas are listed completely, and impossible ones refused without a model."""

import pytest

from agent_runtime.schema import BadSchema, check_schema, expand_schema

GO = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}


def test_the_example_of_the_protocol_is_expanded():
    assert expand_schema(GO) == [{"to": "gate"}, {"to": "mill"}]


def test_arguments_are_listed_in_canonical_order():
    schema = {
        "title": "Move",
        "properties": {
            "x": {"type": "integer", "minimum": -1, "exclusiveMaximum": 1, "description": "column"},
            "run": {"type": "boolean"},
            "why": {"const": "fear"},
        },
        "required": ["x", "run"],
    }
    assert expand_schema(schema) == [
        {"x": -1, "run": False, "why": "fear"},
        {"x": -1, "run": False},
        {"x": -1, "run": True, "why": "fear"},
        {"x": -1, "run": True},
        {"x": 0, "run": False, "why": "fear"},
        {"x": 0, "run": False},
        {"x": 0, "run": True, "why": "fear"},
        {"x": 0, "run": True},
    ]


@pytest.mark.parametrize(
    ("inner", "values"),
    [
        ({"enum": ["a", 1, True, None, "a", 1.5]}, ["a", 1, True, None, 1.5]),
        ({"type": ["integer", "null"], "enum": ["a", 1, True, None]}, [1, None]),
        ({"type": "integer", "minimum": 1, "maximum": 10, "multipleOf": 4}, [4, 8]),
        ({"type": "integer", "exclusiveMinimum": 1, "minimum": 0, "maximum": 3}, [2, 3]),
        ({"type": "null"}, [None]),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}, [{"a": False}, {"a": True}]),
        ({"type": "object", "properties": {}}, [{}]),
        ({"type": "string"}, None),
        ({"type": "number", "minimum": 0, "maximum": 1}, None),
        ({"type": "integer", "minimum": 0}, None),
        ({"type": "integer", "minimum": 0.5, "maximum": 3}, None),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 1}, None),
        ({"anyOf": [{"const": 1}]}, None),
        ({"enum": ["ab"], "minLength": 3}, None),
        ({"type": "object"}, None),
        ({"type": "object", "properties": {}, "required": ["b"]}, None),
        ({"type": "object", "properties": {}, "required": [["b"]]}, None),
        (True, None),
        ({}, None),
    ],
)
def test_one_parameter_is_expanded_when_its_values_can_be_counted(inner, values):
    expanded = expand_schema({"type": "object", "properties": {"v": inner}, "required": ["v"]})
    assert expanded == (None if values is None else [{"v": value} for value in values])


def test_more_combinations_than_the_limit_are_not_listed():
    def schema(count):
        return {"properties": {"n": {"type": "integer", "minimum": 1, "maximum": count}, "b": {"type": "boolean"}}}

    assert len(expand_schema(schema(169))) == 510
    assert expand_schema(schema(171)) is None
    assert expand_schema(schema(10**18)) is None
    assert expand_schema(schema(2), limit=3) is None


@pytest.mark.parametrize(
    "inner", [{"type": "integer", "minimum": 2, "maximum": 1}, {"enum": []}, {"type": "null", "const": 1}]
)
def test_a_schema_that_allows_nothing_is_refused(inner):
    with pytest.raises(BadSchema, match="allows no arguments"):
        expand_schema({"type": "object", "properties": {"v": inner}, "required": ["v"]})


def test_a_schema_nested_beyond_reason_is_not_listed_but_refused():
    schema = {"type": "boolean"}
    for _ in range(3000):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(BadSchema, match="nested too deeply"):
        expand_schema(schema)


@pytest.mark.parametrize(
    ("inner", "says"),
    [
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "sword"}, "sword"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"enum": [2**53 + 1]}, "beyond 2"),
    ],
)
def test_a_schema_that_no_model_could_follow_is_refused_without_one(inner, says):
    with pytest.raises(BadSchema, match=says):
        check_schema({"type": "object", "properties": {"a": inner}})


def test_a_schema_that_can_be_followed_passes():
    check_schema({"type": "object", "properties": {"a": {"type": "string", "maxLength": 12}}})
