"""Lanes: one runtime per mode, over one model."""

from pathlib import Path

from agent_runtime.replay.lanes import open_lanes
from agent_runtime.turn import Mode
from tests.agent_runtime.worlds import load_tiny, open_duel, play, state, write_game


def test_lanes_share_the_model_and_settle_until_nothing_is_under_way(tmp_path: Path) -> None:
    loaded = load_tiny(tmp_path)
    modes = (Mode.STAR, Mode.FULL, Mode.STAR)
    with open_lanes(loaded, modes, games=[write_game(tmp_path / "games")], pool_mib=16) as lanes:
        assert [lane.label for lane in lanes] == ["star", "full", "star (2)"]
        assert {lane.served.loaded.model for lane in lanes} == {loaded.model}
        assert len({lane.served.engine.runner.pool.num_slots for lane in lanes}) == 1
        for lane in lanes:
            open_duel(lane.runtime, lane.mode)
            lane.runtime.put_state("m", 0, state=state(num_units=40))
            lane.runtime.put_block("s", "plan", "north " * 20)
            lane.settle()
            assert lane.served.engine.num_waiting == 0
            assert (lane.served.prefetcher.ledger.rows > 600) == (lane.mode is Mode.STAR)
            cost = play(lane.runtime, 1).account
            assert cost is not None
            assert (cost.encoded == 0) == (lane.mode is Mode.STAR)
            lane.settle()
        # Each lane counts what it gave the model, and nothing of the others.
        for lane in lanes:
            first = lane.runtime.session("s").finished[1].result.account
            assert first is not None
            assert lane.served.engine.runner.rows == first.tokens_computed + lane.served.prefetcher.ledger.rows
    assert not loaded.model.get_input_embeddings()._forward_hooks, "a closed lane lets go of the model"
