"""agent_runtime.grammar: a constrained answer always follows its schema."""

import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_runtime.engine.token_mask import TokenMask
from agent_runtime.errors import BadActions
from agent_runtime.grammar import Grammar
from agent_runtime.schema import BadSchema, expand_schema
from tests.tiny_models import VOCABULARY, tiny_tokenizer

GO = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
FREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "count": {"type": "integer", "minimum": 0, "maximum": 99999},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
    },
    "required": ["name", "count", "tags"],
}

TOKENIZER = tiny_tokenizer()
GRAMMAR = Grammar(TOKENIZER, num_logits=VOCABULARY, end_of_turn=1)


def _write(mask: TokenMask, seed: int, limit: int = 300) -> tuple[list[int], int]:
    """Write an answer with random allowed tokens, as the engine would; return it and how many were chosen."""
    draw = random.Random(seed)
    ids: list[int] = []
    chosen = 0
    while not mask.finished and len(ids) < limit:
        tokens = list(mask.forced())
        if not tokens:
            allowed = mask.allowed()
            assert allowed.shape == (VOCABULARY,) and allowed.dtype == torch.bool and allowed.any()
            tokens, chosen = [draw.choice(allowed.nonzero().flatten().tolist())], chosen + 1
        for token in tokens:
            mask.advance(token)
            ids.append(token)
    assert mask.finished
    return ids, chosen


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_chosen_among_allowed_tokens_follows_the_schema(seed):
    ids, _ = _write(GRAMMAR.arguments(FREE), seed)
    args = json.loads(TOKENIZER.decode(ids, skip_special_tokens=True))
    assert list(args) == ["name", "count", "tags"]
    assert len(args["name"]) <= 12 and 0 <= args["count"] <= 99999 and len(args["tags"]) <= 2


def test_a_tokenizer_with_more_tokens_than_the_model_has_logits_can_be_used():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<beyond>"])
    num_logits = len(tokenizer) - 1
    mask = Grammar(tokenizer, num_logits=num_logits, end_of_turn=1).line()
    assert mask.allowed().shape == (num_logits,) and mask.allowed().any()


def test_an_answer_is_compact_json():
    ids, _ = _write(GRAMMAR.arguments(GO), seed=0)
    assert TOKENIZER.decode(ids, skip_special_tokens=True) in ('{"to":"gate"}', '{"to":"mill"}')


def test_what_the_schema_leaves_no_choice_about_is_forced():
    mask = GRAMMAR.arguments(GO)
    begin = TOKENIZER.decode(list(mask.forced()))
    assert begin and '{"to":"'.startswith(begin)
    ids, chosen = _write(mask, seed=0)
    assert chosen < len(ids)


def test_asking_twice_changes_nothing():
    mask = GRAMMAR.arguments(GO)
    assert mask.forced() == mask.forced()
    for token in mask.forced():
        mask.advance(token)
    assert torch.equal(mask.allowed(), mask.allowed())


def test_masks_of_one_schema_do_not_disturb_each_other():
    first, second = GRAMMAR.arguments(GO), GRAMMAR.arguments(GO)
    _write(first, seed=1)
    assert first.finished and not second.finished
    _write(second, seed=2)


def test_properties_that_the_schema_does_not_name_cannot_be_written():
    mask = GRAMMAR.arguments({"type": "object", "properties": {"deep": {"properties": {"a": {"type": "boolean"}}}}})
    for token in TOKENIZER('{"', add_special_tokens=False).input_ids:
        mask.advance(token)
    starts = [TOKENIZER.decode([token]) for token in mask.allowed().nonzero().flatten().tolist()]
    assert starts and all("deep".startswith(start) or start.startswith("deep") for start in starts)


def test_a_free_line_ends_with_the_turn_and_holds_no_line_break():
    mask = GRAMMAR.line()
    allowed = mask.allowed()
    assert not allowed[1], "an empty line is no answer"
    for token in TOKENIZER("Halt!", add_special_tokens=False).input_ids:
        mask.advance(token)
    allowed = mask.allowed()
    assert allowed[1] and not allowed[0] and not allowed[2], "the end is allowed, other markers never are"
    assert not any("\n" in TOKENIZER.decode([token]) for token in allowed.nonzero().flatten().tolist())
    mask.advance(1)
    assert mask.finished and mask.forced() == []


def test_the_logits_that_no_token_stands_behind_are_never_allowed():
    assert not GRAMMAR.line().allowed()[len(TOKENIZER) :].any()


def test_a_schema_is_compiled_once_and_the_number_kept_is_bounded(monkeypatch):
    import agent_runtime.grammar as module

    compiled = []
    compile_one = module._compiled
    monkeypatch.setattr(module, "_compiled", lambda *args: compiled.append(args[1]) or compile_one(*args))
    grammar = Grammar(TOKENIZER, num_logits=VOCABULARY, end_of_turn=1, num_kept=2)
    schemas = [{"type": "object", "properties": {"n": {"const": n}}, "required": ["n"]} for n in range(3)]
    for schema in (schemas[0], schemas[0], schemas[1], schemas[0], schemas[2]):
        grammar.arguments(schema)
    assert len(compiled) == 3
    grammar.arguments(schemas[0])
    assert len(compiled) == 3
    grammar.arguments(schemas[1])
    assert len(compiled) == 4


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "sword"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?<=a)b"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"enum": [2**53 + 1]}}},
        {"type": "object", "properties": "none"},
        {"type": "string"},
        {},
        [],
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused_with_a_sentence(schema):
    with pytest.raises(BadSchema, match="^The schema cannot be used: .+ Change the action's schema") as caught:
        GRAMMAR.arguments(schema)
    assert isinstance(caught.value, BadActions)


def test_a_schema_nested_beyond_reason_is_refused():
    schema = {"type": "boolean"}
    for _ in range(3000):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(BadSchema, match="nested too deeply"):
        GRAMMAR.arguments(schema)


_LEAVES = st.one_of(
    st.fixed_dictionaries(
        {
            "enum": st.lists(
                st.one_of(st.text(max_size=3), st.integers(-(2**53), 2**53), st.none()), min_size=1, max_size=3
            )
        }
    ),
    st.just({"type": "boolean"}),
    st.integers(-3, 3).map(lambda low: {"type": "integer", "minimum": low, "maximum": low + 2}),
)
_OBJECTS = st.dictionaries(st.sampled_from("abc"), _LEAVES, max_size=3).flatmap(
    lambda properties: st.sets(st.sampled_from(sorted(properties) or ["a"])).map(
        lambda names: {"type": "object", "properties": properties, "required": sorted(names & properties.keys())}
    )
)


@settings(max_examples=100, deadline=None)
@given(_OBJECTS, st.integers(0, 2**16))
def test_a_listed_schema_is_what_the_grammar_allows(schema, seed):
    listed = expand_schema(schema)
    assert listed and len({json.dumps(args, sort_keys=True) for args in listed}) == len(listed)
    for args in listed:
        assert set(schema["required"]) <= args.keys() <= schema["properties"].keys()
    ids, _ = _write(GRAMMAR.arguments(schema), seed)
    assert json.loads(TOKENIZER.decode(ids, skip_special_tokens=True)) in listed
