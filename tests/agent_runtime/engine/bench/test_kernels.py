"""The bench of the kernels alone: here interpreted, so what it says is how to read it, not how fast they are."""

import json

import pytest
import torch

from agent_runtime.engine.bench import kernels
from agent_runtime.engine.bench.kernels import main
from agent_runtime.engine.bench.ttft import Case

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, for a GPU")
SMALL = ["--heads", "2", "--groups", "1", "--head-dim", "32", "--layers", "1", "--observation", "3"]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = (Case("small", 2, 20, encoded=1, num_actions=1), Case("nothing", 0, 0))
    monkeypatch.setattr(kernels, "CASES", cases)
    monkeypatch.setattr(kernels, "_CONTEXT", 128)
    monkeypatch.setattr(kernels, "best_of", lambda work, device: [work(), 0.5][1])


def test_a_layer_is_timed_with_its_tiles_beside_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    main([*SMALL, "--wide", "32,16,4,2,1"])
    [line] = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["case"], found["wide"], found["us"]) == ("small", [32, 16, 4, 2, 1, False], 500_000.0)
    assert found["ratio_to_floor"] > 1 and found["items"]["wide"] + found["items"]["narrow"] > 0


def test_tiles_are_tried_and_those_that_do_not_fit_say_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def attend(step: kernels.KernelStep, *given: object) -> None:
        if step.shape.tiling.wide.rows == 128:
            raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(kernels, "attend_rows", attend)
    main([*SMALL, "--sweep", "wide"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("error" in line, line["wide"][0]) for line in lines] == [(True, 128)] * 4 + [(False, 64)] * 3


def test_a_case_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--case", "none"])
    assert "no case is called 'none'" in capsys.readouterr().err
