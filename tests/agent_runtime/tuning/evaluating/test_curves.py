"""Plots of a comparison, looked at as the lines that were drawn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.errors import CannotWrite
from agent_runtime.tuning.errors import BadArgument
from agent_runtime.tuning.evaluating import curves
from agent_runtime.tuning.evaluating.comparing import compare
from tests.agent_runtime.tuning.evaluating.reported import file_of, report_of

NUMBERS = (8, 16, 32, 64, 128, 200, 300, 400)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    figures: list[Any] = []
    monkeypatch.setattr(curves, "save_figure", lambda figure, out: figures.append(figure))
    yield figures


def file(blocks: int, tokens: int, right: int = 7) -> dict[str, Any]:
    made = file_of(
        f"test-{blocks}-of-{tokens}",
        {"fact": [8] * 6},
        {"full": {"fact": [right, 7, 8, 7, 6, 7]}, "star": {"fact": [right - 1, 5, 6, 5, 4, 7]}},
    )
    arguments = {"blocks": [blocks, blocks], "block_tokens": [tokens, tokens]}
    return {**made, "arguments": arguments, "blocks": [blocks, blocks]}


def lines(axes: Any) -> dict[str, list[int]]:
    return {container.get_label(): [round(x) for x in container.lines[0].get_xdata()] for container in axes.containers}


def test_each_size_of_blocks_has_a_panel_of_its_own_and_games_have_none(drawn: list[Any]) -> None:
    game = {**file(9, 33), "file": "leduc", "generator": "games", "arguments": {"game": "leduc"}}
    files = [*(file(number, 33) for number in NUMBERS), file(100, 85), file(300, 85), game]
    curves.plot_curves(compare({"tuned": report_of(*files)}), Path("a.svg"))
    [figure] = drawn
    above, beside, below, _ = figure.axes
    assert [above.get_title(), beside.get_title()] == ["gates\n33 tokens a block", "gates\n85 tokens a block"]
    assert lines(above) == {"full": [*NUMBERS], "star": [*NUMBERS]}
    assert lines(beside) == {"full": [100, 300], "star": [100, 300]}
    assert lines(below) == {"star - full": [*NUMBERS]}
    assert [tick.get_text() for tick in below.get_xticklabels()] == [*map(str, NUMBERS)]
    assert above.get_xscale() == "log" and above.get_ylim() == (0, 102)


def test_panels_say_what_else_sets_them_apart(drawn: list[Any]) -> None:
    written = [file(number, 33) for number in (8, 16)]
    for each in written:
        each["arguments"] |= {"writing": ["json", "lines"], "asks": 64}
        each["file"] += "-written"
    plain = [file(number, 33) for number in (8, 16, 32)]
    for each in plain:
        each["arguments"] |= {"asks": 64}
    curves.plot_curves(compare({"tuned": report_of(*plain, *written)}), Path("a.svg"))
    titles = [axes.get_title() for axes in drawn[0].axes[:2]]
    assert titles == ["gates\n33 tokens a block", "gates\n33 tokens a block\nwriting json, lines"]


def test_a_line_is_a_model_in_a_mode_colours_are_models(drawn: list[Any]) -> None:
    models = {name: report_of(file(8, 33), file(16, 33)) for name in ("untuned", "tuned")}
    curves.plot_curves(compare(models), Path("a.svg"))
    above = drawn[0].axes[0]
    colours = {each.get_label(): each.lines[0].get_color() for each in above.containers}
    assert colours["untuned full"] == colours["untuned star"] != colours["tuned full"] == colours["tuned star"]
    assert {text.get_text() for text in drawn[0].legends[0].get_texts()} == {*colours, "chance"}


def test_what_a_few_samples_say_is_left_out_beside_the_others(drawn: list[Any]) -> None:
    one = file_of("few", {"fact": [8]}, {"full": {"fact": [1]}, "star": {"fact": [1]}}, blocks=[32, 32])
    few = {**one, "arguments": {"blocks": [32, 32], "block_tokens": [33, 33]}}
    curves.plot_curves(compare({"tuned": report_of(file(8, 33), file(16, 33), few)}), Path("a.svg"))
    curves.plot_curves(compare({"tuned": report_of(few)}), Path("a.svg"))
    assert [lines(figure.axes[0])["full"] for figure in drawn] == [[8, 16], [32]]


def test_intervals_are_drawn_as_far_as_they_go(drawn: list[Any]) -> None:
    curves.plot_curves(compare({"tuned": report_of(file(8, 33), file(16, 33, right=8))}), Path("a.svg"))
    full = drawn[0].axes[0].containers[0]
    ends = [segment[:, 1].tolist() for segment in full.lines[2][0].get_segments()]
    cells = [file(8, 33)["cells"][0], file(16, 33, right=8)["cells"][0]]
    assert ends == [pytest.approx(cell["right"]["full"]["interval"]) for cell in cells]
    assert max(high for _, high in ends) <= 100


def test_chance_is_drawn_for_one_number_of_blocks_as_for_several(drawn: list[Any]) -> None:
    for numbers in ((8,), (8, 32)):
        curves.plot_curves(compare({"tuned": report_of(*(file(number, 33) for number in numbers))}), Path("a.svg"))
        above = drawn[-1].axes[0]
        [chance] = [line for line in above.get_lines() if line.get_label() == "chance"]
        places = [*map(float, chance.get_xdata())]
        assert len(places) > 1 and places[0] < places[-1], "a line that is seen"
        assert [round(y) for y in chance.get_ydata()] == [10, 10]


def test_one_mode_alone_has_no_differences_below(drawn: list[Any]) -> None:
    alone = file_of("a", {"fact": [8] * 6}, {"full": {"fact": [7] * 6}})
    curves.plot_curves(compare({"tuned": report_of(alone)}), Path("a.svg"))
    assert len(drawn[0].axes) == 1


def test_a_picture_has_no_ground_of_its_own(tmp_path: Path) -> None:
    curves.plot_curves(compare({"tuned": report_of(file(8, 33), file(16, 33))}), tmp_path / "a.svg")
    assert "#ffffff" not in (tmp_path / "a.svg").read_text()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite):
        curves.plot_curves(compare({"tuned": report_of(file(8, 33))}), tmp_path / "none" / "a.svg")


def test_the_same_comparison_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        curves.plot_curves(compare({"tuned": report_of(file(8, 33), file(16, 33))}), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_where_nothing_was_answered_nothing_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="nothing to draw"):
        curves.plot_curves(compare({"tuned": report_of()}), tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("against", "what"),
    [
        ([], "points above untuned full"),
        ([":full"], "points above own full"),
        (["untuned"], "points above untuned, same mode"),
        (["untuned", ":full"], "points above another"),
    ],
)
def test_what_differences_are_above_stands_beside_them(drawn: list[Any], against: list[str], what: str) -> None:
    models = {name: report_of(file(8, 33), file(16, 33)) for name in ("untuned", "tuned")}
    curves.plot_curves(compare(models, against), Path("a.svg"))
    below = drawn[0].axes[1]
    assert below.get_ylabel() == what
    columns = [each.get_label().split(" - ")[0] for each in below.containers]
    assert len(columns) == len({*columns})
