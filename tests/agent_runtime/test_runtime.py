"""Turns through the whole runtime, on a tiny random model: modes, accounts, sharing, history, refusals."""

import copy
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers.normalizers import Replace

from agent_runtime.block_cache import MemoryStore
from agent_runtime.engine.errors import UnsupportedModel
from agent_runtime.engine.loading import LoadedModel
from agent_runtime.engine.text import TextEncoder
from agent_runtime.errors import BadActions, BadState, NameTaken, PromptTooLong, StaleFrame, StaleTurn, UnknownName
from agent_runtime.prefetch import BACKGROUND_ROWS
from agent_runtime.runtime import AgentRuntime
from agent_runtime.served_model import serve_model
from agent_runtime.turn import (
    Account,
    Action,
    ActionOption,
    Decide,
    MatchSpec,
    Mode,
    Outcome,
    Partial,
    SessionReady,
    SessionSpec,
    TurnApplied,
    TurnResult,
)
from kv_store.errors import BadDocument
from tests.agent_runtime.worlds import (
    ACTIONS,
    GAME,
    ask,
    load_tiny,
    open_duel,
    play,
    runtime,
    standing_still,
    state,
    write_game,
)
from tests.tiny_models import CONTEXT

MODES = tuple(Mode)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(loaded: LoadedModel, tmp_path: Path) -> Iterator[AgentRuntime]:
    with runtime(loaded, write_game(tmp_path / "games")) as made:
        yield made


def account(result: TurnResult) -> Account:
    assert result.account is not None
    return result.account


def logprobs(result: TurnResult) -> list[float]:
    return [score.logprob for score in result.scores]


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


def brought(made: AgentRuntime, mode: Mode, num_units: int) -> SessionReady:
    ready: Future[SessionReady] = Future()
    made.open_match(MatchSpec("m", GAME, mode=mode))
    made.put_state("m", 0, state=state(num_units))
    made.open_session(SessionSpec("s", "m"), ready.set_result)
    return ready.result(60)


def test_what_a_prefix_session_will_see_is_computed_once(made: AgentRuntime) -> None:
    ready = brought(made, Mode.PREFIX, 50)
    assert ready.tokens > 4 * BACKGROUND_ROWS
    assert (ready.encoded, ready.shared) == (ready.tokens, 0)
    assert made.served_model().prefetcher.ledger.rows == ready.tokens
    assert account(play(made, 0)).tokens_cached >= ready.tokens


@pytest.mark.parametrize("mode", [Mode.PREFIX, Mode.STAR, Mode.ANCHORED])
def test_what_goes_beyond_the_context_is_not_brought_and_disturbs_nobody(made: AgentRuntime, mode: Mode) -> None:
    long = {"clock": 1, "units": [{"id": "u", "is": "x " * 2 * CONTEXT}, *state(90)["units"]]}
    ready: Future[SessionReady] = Future()
    open_duel(made, match="other")
    made.put_state("other", 0, state=state())
    made.open_match(MatchSpec("m", GAME, mode=mode))
    made.put_state("m", 0, state=long)
    turn = made.begin_turn(ask(0))
    made.open_session(SessionSpec("long", "m"), ready.set_result)
    assert turn.run().outcome is Outcome.OK
    assert ready.result(60).encoded < CONTEXT * 2
    with pytest.raises(PromptTooLong):
        play(made, 0, session="long")
    made.put_state("m", 1, state=state())
    assert play(made, 1, 1, session="long").outcome is Outcome.OK


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
    served, held, gate = made.served_model(), threading.Event(), threading.Event()

    def stand_still() -> None:
        held.set()
        gate.wait(30)

    served.prefetcher.finish(30)
    served.engine.soon(stand_still)
    assert held.wait(30)
    before = served.engine.runner.forwards
    turns = [made.begin_turn(ask(1, session=name)) for name in names]
    results: dict[str, TurnResult] = {}
    threads = [threading.Thread(target=lambda t=turn: results.update({t.session.name: t.run()})) for turn in turns]
    for thread in threads:
        thread.start()
    for _ in range(3000):
        if served.engine.num_waiting == len(names):
            break
        gate.wait(0.01)
    gate.set()
    for thread in threads:
        thread.join(30)
    assert served.engine.runner.forwards == before + 1
    assert sorted(account(result).blocks_encoded for result in results.values())[:5] == [0] * 5
    assert len({tuple(round(x, 3) for x in logprobs(result)) for result in results.values()}) == 1


def test_what_a_game_did_instead_is_taken_before_the_turn_that_was_too_late_has_ended(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 0)
    served, session = made.served_model(), made.session("s")
    served.prefetcher.finish(30)
    with standing_still(served.engine):
        late = made.begin_turn(ask(1))
        thread = threading.Thread(target=late.run)
        thread.start()
        with pytest.raises(UnknownName, match="finished turn"):
            made.apply_turn(TurnApplied("s", 1, True))  # what was it that was done?
        made.apply_turn(TurnApplied("s", 1, True, action=Action("hold")))
        assert [entry.action_text for entry in session.history] == ["hold"]
    thread.join(30)
    assert not session.under_way
    assert account(play(made, 2)).forwards == 1


def test_sampling_is_seeded_and_follows_the_shares(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    drawn = []
    for turn in range(40):
        result = play(made, turn, decide=Decide(how="sample", temperature=30.0, seed=7))
        assert result.action is not None
        drawn.append(result.action.id)
    assert len(set(drawn)) > 1
    made.close_session("s")
    made.open_session(SessionSpec("s", "m"))
    for turn in range(5):
        again = play(made, turn, decide=Decide(how="sample", temperature=30.0, seed=7))
        assert again.action is not None and again.action.id == drawn[turn]


def test_few_parameters_are_scored_in_the_same_forward(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {"type": "object", "properties": {"to": {"enum": ["gate", "mill"]}}, "required": ["to"]}
    result = play(made, 1, actions=(ActionOption("hold"), ActionOption("go", "go to", schema)))
    assert [(score.id, score.args) for score in result.scores] == [
        ("hold", None),
        ("go", {"to": "gate"}),
        ("go", {"to": "mill"}),
    ]
    assert account(result).forwards == 1


def test_many_parameters_are_decoded_under_their_schema(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9999}},
        "required": ["n"],
    }
    result = play(made, 1, actions=(ActionOption("count", schema=schema),))
    assert result.outcome is Outcome.OK and result.action is not None and result.action.args is not None
    assert 0 <= result.action.args["n"] <= 9999
    assert account(result).decoded > 0


def test_thinking_and_speaking_stream_their_text(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    pieces: dict[str, str] = {"think": "", "say": ""}

    def partial(piece: Partial) -> None:
        pieces[piece.kind] += piece.text

    result = made.begin_turn(ask(1, decide=Decide(think_tokens=6, say_tokens=5))).run(partial)
    assert result.outcome is Outcome.OK
    assert result.think is not None and result.think.startswith(pieces["think"])
    assert result.say is not None and result.say.startswith(pieces["say"])
    assert account(result).forwards > 2


@pytest.mark.parametrize("mode", [Mode.STAR, Mode.PREFIX])
def test_history_holds_what_was_applied_and_never_depends_on_timing(
    loaded: LoadedModel, tmp_path: Path, mode: Mode
) -> None:
    seen = []
    for waits in (True, False):
        with runtime(loaded, write_game(tmp_path / "games")) as made:
            open_duel(made, mode)
            made.put_state("m", 0, state=state())
            for turn in range(4):
                last = play(made, turn)
                made.apply_turn(TurnApplied("s", turn, True, action=Action("attack"), reward=0.5))
                if waits:
                    made.served_model().prefetcher.finish(30)
            seen.append((logprobs(last), account(last).tokens_prompt))
            names = [block.name for block in made.session("s").own_blocks()[2]]
            assert names == ["history/2", "history/3"]
            assert "attack" in made.session("s").own_blocks()[2][0].text
    assert seen[0][1] == seen[1][1]
    assert seen[0][0] == pytest.approx(seen[1][0], abs=1e-4)


def test_a_failed_action_joins_the_next_attempt_and_not_the_history(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    play(made, 1)
    made.apply_turn(TurnApplied("s", 1, False, message="the gate is shut"))
    turn = made.begin_turn(ask(2))
    assert "the gate is shut" in made.served_model().loaded.text.decode(turn.prompt.observation)
    turn.run()
    assert made.session("s").own_blocks()[2] == ()


def test_a_turn_applied_twice_or_late_stands_once_and_in_its_place(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    for turn in range(1, 5):
        play(made, turn)

    def history() -> list[str]:
        return [block.name for block in made.session("s").own_blocks()[2]]

    for turn in (2, 1, 1, 2):
        made.apply_turn(TurnApplied("s", turn, True, action=Action("attack")))
    assert history() == ["history/1", "history/2"]
    made.apply_turn(TurnApplied("s", 2, True, action=Action("go north")))
    assert "go north" in made.session("s").own_blocks()[2][1].text
    for turn in (3, 4, 1):
        made.apply_turn(TurnApplied("s", turn, True))
    assert history() == ["history/3", "history/4"]


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


def test_opening_a_session_encodes_what_it_sees_at_once(made: AgentRuntime) -> None:
    made.open_match(MatchSpec("m", "duel", mode=Mode.STAR))
    made.put_state("m", 0, state=state())
    reports: list[SessionReady] = []
    for name in ("first", "second"):
        done = threading.Event()

        def ready(report: SessionReady, done: threading.Event = done) -> None:
            reports.append(report)
            done.set()

        made.open_session(SessionSpec(name, "m"), ready)
        assert done.wait(30)
    assert reports[0].encoded == reports[0].tokens == reports[1].shared
    assert account(play(made, 1, session="first")).blocks_encoded == 0


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


def test_a_cancelled_turn_says_so_and_gives_everything_back(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    turn = made.begin_turn(ask(1))
    turn.cancel()
    assert turn.run().outcome is Outcome.CANCELLED
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


def test_untuned_weights_in_a_block_mode_are_named_once(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    warned = [any("not block-tuned" in text for text in account(play(made, turn)).warnings) for turn in range(2)]
    assert warned == [True, False]
    assert replace(account(play(made, 5)), warnings=()).block_tuned is False


def test_a_finished_turn_is_kept_at_once(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        result = made.begin_turn(ask(3), body_digest="abc").run()
        # Before anything else writes the session: what the client has seen must outlive a kill.
        assert made._store is not None
        document = made._store.get_document("session", "s")
        assert document is not None and document.body["last_turn_id"] == 3
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        stored = made.stored_result("s", 3, "abc")
        assert stored is not None and stored.action == result.action
        made.apply_turn(TurnApplied("s", 3, True))


def test_closing_a_match_ends_also_the_sessions_that_nobody_took_up_again(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made, sessions=("s", "t"))
        made.put_state("m", 0, state=state())
        play(made, 5, session="t")
    with runtime(loaded, games, store=store) as made:
        open_duel(made, sessions=("s",))
        made.close_match("m")
        made.open_match(MatchSpec("m", "duel"))
        assert made.open_session(SessionSpec("t", "m")).resumed is False


def test_a_session_that_the_store_keeps_for_another_match_is_not_taken_over(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    with runtime(loaded, games, store=store) as made:
        open_duel(made)
        made.put_state("m", 0, state=state())
        play(made, 5)
    with runtime(loaded, games, store=store) as made:
        made.open_match(MatchSpec("n", "duel"))
        with pytest.raises(NameTaken, match="belongs to match"):
            made.open_session(SessionSpec("s", "n"))
        open_duel(made)
        assert made.session("s").last_turn_id == 5


def test_a_session_whose_persona_is_gone_says_so(loaded: LoadedModel, tmp_path: Path) -> None:
    games, store = write_game(tmp_path / "games"), tmp_path / "store"
    (games / "duel" / "personas").mkdir()
    (games / "duel" / "personas" / "brave.md").write_text("You are brave.\n", encoding="utf-8")
    with runtime(loaded, games, store=store) as made:
        open_duel(made, persona="brave")
    (games / "duel" / "personas" / "brave.md").unlink()
    with runtime(loaded, games, store=store) as made:
        made.open_match(MatchSpec("m", "duel"))
        with pytest.raises(UnknownName, match="persona named 'brave'"):
            made.open_session(SessionSpec("s", "m"))


def test_turns_that_found_no_room_may_be_asked_again_newest_first(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    session = made.session("s")
    play(made, 1)
    for turn in (2, 3):
        made.begin_turn(ask(turn))
    assert [session.unsee(turn) for turn in (2, 3, 2)] == [False, True, True]
    assert session.last_turn_id == 1
    assert play(made, 2).outcome is Outcome.OK


def test_a_match_that_cannot_be_kept_is_not_open(loaded: LoadedModel, tmp_path: Path) -> None:
    with runtime(loaded, write_game(tmp_path / "games"), store=tmp_path / "store") as made:
        with pytest.raises(BadDocument):
            made.open_match(MatchSpec("a\0b", "duel"))
        with pytest.raises(UnknownName):
            made.match("a\0b")


def test_the_longest_prompt_that_is_taken_leaves_room_for_all_that_can_follow(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    endless = {"type": "object", "properties": {"n": {"type": "string", "minLength": 2000}}, "required": ["n"]}
    options: dict[str, Any] = {"actions": (ActionOption("go", schema=endless),), "decide": Decide(think_tokens=5)}
    fits, too_long = 0, 3000
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        try:
            made.begin_turn(ask(middle, observation="a " * middle, **options))
            fits = middle
        except PromptTooLong:
            too_long = middle
        made.session("s").last_turn_id = None
    result = play(made, 1, observation="a " * fits, **options)
    assert result.outcome is Outcome.TRUNCATED, result.message


def test_a_tiny_temperature_is_the_best_action(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    best = play(made, 0).action
    for turn in (1, 2):
        result = play(made, turn, decide=Decide(how="sample", temperature=1e-320, seed=turn))
        assert result.action == best
        assert sorted(score.p for score in result.scores) == [0.0, 0.0, 0.0, 1.0]
    result = play(made, 3, decide=Decide(how="sample", temperature=1e-320, seed=3, think_tokens=3))
    assert result.outcome is Outcome.OK and result.think is not None


def test_a_patch_of_another_frame_is_refused_when_it_names_its_base(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 3, state=state())
    patch = [{"op": "replace", "path": "/units/0/hp", "value": 1}]
    with pytest.raises(BadState, match="made of frame 2 and the match is at frame 3. Send a whole state"):
        made.put_state("m", 4, patch=patch, base=2)
    made.put_state("m", 4, patch=patch, base=3)
    assert made.match("m").state["units"][0]["hp"] == 1


def test_an_open_name_takes_nothing_from_a_longer_one(made: AgentRuntime) -> None:
    open_duel(made)
    made.put_state("m", 0, state=state())
    schema = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 9}}, "required": ["to"]}
    actions = (ActionOption("go", schema=schema), ActionOption("go north"), ActionOption("go north-west"))
    turn = made.begin_turn(ask(1, actions=actions))
    ids = [candidate.ids for candidate in turn.answers.candidates]
    assert not any(other[: len(one)] == one for one in ids for other in ids if other is not one)
    result = turn.run()
    assert result.outcome is Outcome.OK
    assert result.legal_mass is not None and 0 < result.legal_mass <= 1
    only = play(made, 2, actions=actions[:1])
    assert only.outcome in (Outcome.OK, Outcome.TRUNCATED)
    if only.action is not None and only.action.args is not None:
        assert set(only.action.args) == {"to"}


def test_opening_a_session_in_prefix_mode_says_what_was_computed(made: AgentRuntime) -> None:
    made.open_match(MatchSpec("m", "duel", mode=Mode.PREFIX))
    made.put_state("m", 0, state=state())
    reports: list[SessionReady] = []
    for name in ("first", "second"):
        done = threading.Event()

        def ready(report: SessionReady, done: threading.Event = done) -> None:
            reports.append(report)
            done.set()

        made.open_session(SessionSpec(name, "m"), ready)
        assert done.wait(30)
    assert (reports[0].encoded, reports[0].shared) == (reports[0].tokens, 0)
    assert (reports[1].encoded, reports[1].shared) == (0, reports[1].tokens)


def test_a_tokenizer_that_drops_line_ends_is_refused(loaded: LoadedModel) -> None:
    tokenizer = copy.deepcopy(loaded.text.tokenizer)
    tokenizer.backend_tokenizer.normalizer = Replace("\n", "")
    with pytest.raises(UnsupportedModel, match="drops line ends"):
        serve_model("m", replace(loaded, text=TextEncoder(tokenizer)), MemoryStore(), pool_mib=1, max_rows=1)
