"""Turns through the whole runtime, on a tiny random model: modes, accounts, sharing, history, refusals."""

import copy
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent_runtime.engine.loading import LoadedModel
from agent_runtime.errors import BadActions, BadState, PromptTooLong, StaleFrame, StaleTurn, UnknownName
from agent_runtime.runtime import AgentRuntime
from agent_runtime.turn import (
    ActionOption,
    Decide,
    Mode,
    Outcome,
    SessionSpec,
    TurnApplied,
    TurnResult,
)
from tests.agent_runtime.crowding import check_crowd
from tests.agent_runtime.worlds import (
    ACTIONS,
    account,
    ask,
    load_tiny,
    logprobs,
    open_duel,
    play,
    runtime,
    standing_still,
    state,
    wait_until,
    write_game,
)

MODES = tuple(Mode)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, write_game(tmp_path / "games")) as made:
        yield made


@pytest.mark.parametrize("mode", MODES)
def test_a_turn_is_one_forward_and_a_legal_action_comes_out(made: AgentRuntime, mode: Mode) -> None:
    open_duel(made, mode)
    made.put_state("m", 0, state=state())
    result = play(made, 1)
    assert result.outcome is Outcome.OK
    assert result.action is not None and result.action.id in {action.id for action in ACTIONS}
    assert sum(score.p for score in result.scores) == pytest.approx(1)
    assert account(result).forwards == 1
    assert result.action.id == max(result.scores, key=lambda score: score.p).id


def test_all_modes_see_the_same_prompt_and_full_equals_prefix(made: AgentRuntime) -> None:
    results = {}
    for mode in MODES:
        open_duel(made, mode, match=mode, sessions=(f"s-{mode}",))
        made.put_state(mode, 0, state=state())
        results[mode] = play(made, 1, session=f"s-{mode}")
    assert len({account(result).tokens_prompt for result in results.values()}) == 1
    assert logprobs(results[Mode.FULL]) == pytest.approx(logprobs(results[Mode.PREFIX]), abs=1e-4)
    assert logprobs(results[Mode.FULL]) != pytest.approx(logprobs(results[Mode.STAR]), abs=1e-2)
    assert logprobs(results[Mode.ANCHORED]) != pytest.approx(logprobs(results[Mode.STAR]), abs=1e-2)


@pytest.mark.parametrize("mode", MODES)
def test_a_turn_computes_only_what_changed_and_gives_what_a_fresh_runtime_gives(
    made: AgentRuntime, loaded: LoadedModel, tmp_path: Path, mode: Mode
) -> None:
    open_duel(made, mode)
    made.put_state("m", 0, state=state())
    first = account(play(made, 1))
    made.put_state("m", 1, patch=[{"op": "replace", "path": "/units/2/hp", "value": 3}])
    second = play(made, 2, frame=1)
    with runtime(loaded, write_game(tmp_path / "games")) as fresh:
        open_duel(fresh, mode)
        fresh.put_state("m", 1, state=state(u2=3))
        assert logprobs(play(fresh, 2, frame=1)) == pytest.approx(logprobs(second), abs=1e-4)
    seen = account(second)
    if mode in (Mode.STAR, Mode.ANCHORED):
        assert [(use.name, use.how) for use in seen.changed] == [("unit/u2", "encoded")]
        assert seen.blocks_hit == first.blocks_hit + first.blocks_encoded - 1
    elif mode is Mode.PREFIX:
        assert 0 < seen.tokens_cached < first.tokens_prompt
    else:
        assert seen.tokens_cached == 0
    assert seen.tokens_cached + seen.encoded + seen.observation == seen.tokens_prompt


@pytest.mark.parametrize("seed", range(3))
def test_what_is_kept_from_turn_to_turn_changes_no_prompt_no_key_and_no_account(
    made: AgentRuntime, loaded: LoadedModel, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    open_duel(made)
    now = state(12)
    made.put_state("m", 0, state=copy.deepcopy(now))
    play(made, 0)
    for turn in range(1, 8):
        units = rng.sample(range(12), rng.choice((1, 1, 2, 6)))
        for unit in units:
            now["units"][unit]["hp"] = rng.choice((7, 70, 100 + turn, 100 + turn, 1000))
        ops = [{"op": "replace", "path": f"/units/{unit}/hp", "value": now["units"][unit]["hp"]} for unit in units]
        change = {"patch": ops} if rng.random() < 0.7 else {"state": copy.deepcopy(now)}
        made.put_state("m", turn, **change)
        if rng.random() < 0.5:
            made.look_ahead("m")
        with runtime(loaded, write_game(tmp_path / f"games-{turn}")) as fresh:
            open_duel(fresh)
            fresh.put_state("m", turn, state=copy.deepcopy(now))
            turns = [each.begin_turn(ask(turn, turn)) for each in (made, fresh)]
            kept, alone = ([(block.name, block.ids, block.key) for block in each.prompt.blocks] for each in turns)
            assert kept == alone
            assert turns[0].prompt.observation == turns[1].prompt.observation
            results = [each.run() for each in turns]
        assert logprobs(results[0]) == pytest.approx(logprobs(results[1]), abs=1e-4)
        seen, anew = map(account, results)
        assert (seen.tokens_prompt, seen.not_durable) == (anew.tokens_prompt, anew.not_durable)
        assert seen.blocks_hit + seen.blocks_encoded == anew.blocks_hit + anew.blocks_encoded
        assert {use.name for use in seen.changed} <= {f"unit/u{unit}" for unit in units}
        assert seen.tokens_cached + seen.encoded + seen.observation == seen.tokens_prompt
        made.served_model().engine.ask(made.served_model().cache.check)


def test_what_a_frame_changes_is_read_into_tokens_ahead_of_a_turn_unless_it_is_much(
    made: AgentRuntime,
) -> None:
    text = made.served_model().loaded.text
    open_duel(made)
    made.put_state("m", 0, state=state(30))
    before = text.calls
    made.look_ahead("m")
    assert text.calls == before
    play(made, 0)
    made.put_state("m", 1, patch=[{"op": "replace", "path": "/units/2/hp", "value": 31415}])
    before = text.calls
    made.look_ahead("m")
    assert text.calls == before + 1
    play(made, 1, 1, observation="A noise.")
    assert text.calls == before + 1  # nothing else was new
    made.look_ahead("another")
    made.put_state("m", 2, patch=[{"op": "replace", "path": "/units/2/at", "value": "far " * 5000}])
    before = text.calls
    made.look_ahead("m")
    assert text.calls == before


def test_accounts_and_background_add_up_to_the_models_own_rows(made: AgentRuntime) -> None:
    served = made.served_model()
    rows = 0
    schema = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 4}}, "required": ["to"]}
    actions = (*ACTIONS, ActionOption("say", schema=schema))
    for mode in MODES:
        session = f"s-{mode}"
        open_duel(made, mode, match=mode, sessions=(session,))
        for turn in range(4):
            made.put_state(mode, turn, state=state(u1=turn))
            decide = Decide(think_tokens=3 * (turn % 2), say_tokens=2 * (turn // 2), how="sample", seed=turn)
            result = play(made, turn, turn, session, actions=actions, decide=decide)
            cost = account(result)
            assert cost.tokens_computed == cost.encoded + cost.observation + cost.scored + cost.decoded
            rows += cost.tokens_computed
            made.apply_turn(TurnApplied(session, turn, True))
    served.prefetcher.finish(30)
    background = served.prefetcher.ledger
    assert served.engine.ask(lambda: served.engine.runner.rows, 30) == rows + background.rows
    assert background.rows > 0


def test_fifty_sessions_of_one_match_keep_one_copy(made: AgentRuntime) -> None:
    names = tuple(f"npc-{i}" for i in range(50))
    open_duel(made, sessions=names)
    made.put_state("m", 0, state=state(30))
    served = made.served_model()
    costs = [account(play(made, 1, session=name)) for name in names]
    assert costs[0].blocks_encoded > 30
    assert all(cost.blocks_encoded == 0 for cost in costs[1:])
    static = costs[0].tokens_cached + costs[0].encoded
    pool = served.cache.pool
    assert pool.num_slots - served.engine.ask(lambda: pool.num_free, 30) == static
    tokenised, keyed = served.loaded.text.calls, served.tokenizer.keys.num_calls
    made.put_state("m", 1, patch=[{"op": "replace", "path": "/units/7/hp", "value": 1}])
    costs = [account(play(made, 2, 1, name)) for name in names]
    assert [cost.blocks_encoded for cost in costs] == [1] + [0] * 49
    assert served.tokenizer.keys.num_calls == keyed + 1
    assert served.loaded.text.calls - tokenised <= 2, "one changed block is counted and encoded, nothing else"


def test_sessions_that_come_at_once_share_forwards_and_encode_a_block_once(made: AgentRuntime) -> None:
    names = tuple(f"npc-{i}" for i in range(6))
    open_duel(made, sessions=names)
    made.put_state("m", 0, state=state())
    served = made.served_model()
    served.prefetcher.finish(30)
    before = served.engine.runner.forwards
    turns = [made.begin_turn(ask(1, session=name)) for name in names]
    results: dict[str, TurnResult] = {}
    threads = [threading.Thread(target=lambda t=turn: results.update({t.session.name: t.run()})) for turn in turns]
    with standing_still(served.engine):
        for thread in threads:
            thread.start()
        wait_until(lambda: served.engine.num_waiting == len(names))
    for thread in threads:
        thread.join(30)
    assert served.engine.runner.forwards == before + 1
    assert sorted(account(result).blocks_encoded for result in results.values())[:5] == [0] * 5
    assert len({tuple(round(x, 3) for x in logprobs(result)) for result in results.values()}) == 1


def test_what_sight_excludes_never_enters_the_prompt(made: AgentRuntime) -> None:
    open_duel(made, sight=("/**", "!/secrets/*", "/secrets/red"))
    text = made.served_model().loaded.text
    prompts = []
    for frame, secret in enumerate(("hold the mill", "burn the mill")):
        hidden = state()
        hidden["secrets"]["blue"] = secret
        made.put_state("m", frame, state=hidden)
        turn = made.begin_turn(ask(frame, frame))
        turn.run()
        prompts.append([token for block in turn.prompt.blocks for token in block.ids])
    assert prompts[0] == prompts[1]
    assert "mill" not in text.decode(prompts[0]).replace('at":"mill', "") or "hold the mill" not in text.decode(
        prompts[0]
    )
    assert "attack at dawn" in text.decode(prompts[0])


def test_a_frame_is_cut_for_the_sights_of_open_sessions_only(made: AgentRuntime) -> None:
    open_duel(made, sessions=("s", "t"), sight=("/units/*",))
    made.open_session(SessionSpec("u", "m", sight=("/clock",)))
    made.put_state("m", 0, state=state())
    made.close_session("u")
    made.close_session("t")
    assert set(made.match("m").sights) == {("/units/*",)}
    assert play(made, 1).outcome is Outcome.OK


def test_refusals_name_what_is_wrong_and_leave_everything_as_it_was(made: AgentRuntime) -> None:
    open_duel(made)
    with pytest.raises(StaleFrame, match="has no state yet"):
        made.begin_turn(ask(1))
    made.put_state("m", 3, state=state())
    for frame, words in ((2, "is past"), (4, "has not arrived")):
        with pytest.raises(StaleFrame, match=words):
            made.begin_turn(ask(1, frame))
    with pytest.raises(StaleFrame):
        made.put_state("m", 3, state=state())
    with pytest.raises(BadState, match="was not changed"):
        made.put_state("m", 4, patch=[{"op": "remove", "path": "/units/99"}])
    with pytest.raises(UnknownName, match="Did you mean 'm'"):
        made.put_state("mm", 4, state=state())
    # A few values make many answers: here 22 times 22.
    values = {"enum": [f"{chr(97 + number)}{'qz' * 9}" for number in range(22)]}
    wide = {"type": "object", "properties": {"a": values, "b": values}, "required": ["a", "b"]}
    for actions, words in (
        ((), "at least one"),
        ((ActionOption(" "),), "visible"),
        ((ActionOption("go"), ActionOption("go")), "read the same"),
        ((ActionOption("walk " * 80),), "more than 64"),
        ((ActionOption("go", schema=wide),), "takes [0-9]+ tokens, more than 8192"),
        ((ActionOption("go", schema={"type": "string"}),), "object"),
        ((ActionOption("go", schema={"type": "object", "properties": {"to": {"enum": ["\ud800"]}}}),), "surrogate"),
    ):
        with pytest.raises(BadActions, match=words):
            made.begin_turn(ask(1, 3, actions=actions))
    with pytest.raises(PromptTooLong, match="context ends at 2048"):
        made.begin_turn(ask(1, 3, observation="x y z " * 900))
    assert play(made, 1, 3).outcome is Outcome.OK
    with pytest.raises(StaleTurn):
        made.begin_turn(ask(1, 3))


def test_a_turn_asked_again_gets_its_stored_result(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    result = made.begin_turn(ask(1), body_digest="abc").run()
    assert made.stored_result("s", 1, "abc") == result
    assert made.stored_result("s", 2, "abc") is None
    with pytest.raises(StaleTurn):
        made.stored_result("s", 1, "other")


def test_a_turn_that_a_fault_ends_is_answered_and_its_answer_stored(
    made: AgentRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spans: object, is_stopped: object) -> None:
        raise RuntimeError("out of memory")

    open_duel(made)
    made.put_state("m", 0, state=state())
    made.served_model().prefetcher.finish(30)
    with monkeypatch.context() as broken:
        broken.setattr(made.served_model().engine.runner, "run", fail)
        result = made.begin_turn(ask(1), body_digest="abc").run()
    assert result.outcome is Outcome.ERROR and "RuntimeError" in str(result.message)
    assert made.stored_result("s", 1, "abc") == result
    assert play(made, 2).outcome is Outcome.OK


def test_a_pool_too_small_is_overload_and_not_the_end(loaded: LoadedModel, tmp_path: Path) -> None:
    with runtime(loaded, write_game(tmp_path / "games"), pool_mib=1) as made:
        slots = made.served_model().cache.pool.num_slots
        open_duel(made)
        made.put_state("m", 0, state=state(slots // 12))
        with pytest.raises(PromptTooLong):
            made.begin_turn(ask(1))
        made.put_state("m", 1, state=state(3))
        assert play(made, 1, 1).outcome is Outcome.OK


def test_in_a_full_pool_blocks_go_first_and_then_the_newest_turn(loaded: LoadedModel, tmp_path: Path) -> None:
    check_crowd(loaded, tmp_path / "games")


def test_untuned_weights_in_a_block_mode_are_named_once(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    warned = [any("not block-tuned" in text for text in account(play(made, turn)).warnings) for turn in range(2)]
    assert warned == [True, False]
    assert replace(account(play(made, 5)), warnings=()).block_tuned is False


def test_a_patch_of_another_frame_is_refused_when_it_names_its_base(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 3, state=state())
    patch = [{"op": "replace", "path": "/units/0/hp", "value": 1}]
    with pytest.raises(BadState, match="made of frame 2 and the match is at frame 3. Send a whole state"):
        made.put_state("m", 4, patch=patch, base=2)
    made.put_state("m", 4, patch=patch, base=3)
    assert made.match("m").state["units"][0]["hp"] == 1
