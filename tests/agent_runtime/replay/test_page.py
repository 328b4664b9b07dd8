"""The page of a report: whole, escaped, without any network; and drawn by a real browser where there is one."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.replay.page import write_page
from agent_runtime.replay.report import ConstantAction, ReplayReport, TurnSample, report_mode
from agent_runtime.replay.strips import Piece, Strips
from agent_runtime.turn import Mode, Outcome

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\u2028'\""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Takes a page apart: its tags, its text, and what is inside of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def text(self, tag: str) -> str:
        return " ".join(self.texts.get(tag, []))


def sample(number: int, label: str, session: str = "s", **figures: Any) -> TurnSample:
    scale = {"full": 10.0, "star": 1.0}[label]
    return TurnSample(
        session,
        number,
        Outcome.OK if number % 7 else Outcome.OVERLOADED,
        scale * (1 + number % 5) if number % 7 else None,
        tokens_prompt=1000,
        tokens_computed=int(100 * scale) + number,
        tokens_cached=5,
        cold=number == 1,
        best="go",
        engine_ms=scale,
        queue_ms=0.1,
        **figures,
    )


def made(num_turns: int = 30, *, name: str = "s", **fields: Any) -> ReplayReport:
    lanes = {label: [sample(number, label, name) for number in range(1, num_turns + 1)] for label in ("full", "star")}
    strips = Strips()
    for label, turns in lanes.items():
        for number in range(len(turns)):
            kind = "hit" if label == "star" else "encoded"
            changed = Piece(f"unit/{name}", "encoded", 30 + number)
            strips.keep(label, number, (Piece("rules", kind, 900), changed, Piece("observation", "observation", 50)))
    modes = tuple(
        report_mode(label, Mode(label), turns, {"full": lanes["full"]}, background_rows=0, background_forwards=0)
        for label, turns in lanes.items()
    )
    report = ReplayReport(Path("m.jsonl"), "duel", "star", "tiny", False, modes, 0, (), {"torch": "2"}, strips=strips)
    return replace(report, **fields)


def page(report: ReplayReport) -> Page:
    out = StringIO()
    write_page(report, out)
    return Page(out.getvalue())


def test_the_page_has_every_table_and_what_the_script_draws() -> None:
    told = page(made(constant_action=ConstantAction("stay", 0.25), warnings=("Other weights.",)))
    cells = told.text("td").split()
    assert "Other weights." in told.text("li")
    for shown in ("30", "25", "%", "torch", "2"):
        assert shown in cells or shown in told.text("th").split()
    assert "always stay" in told.text("th")
    data = json.loads(told.texts["script"][0])
    assert [lane["label"] for lane in data["lanes"]] == ["full", "star"]
    assert len(data["lanes"][0]["columns"]["ttft_ms"]) == 30
    assert data["lanes"][0]["columns"]["ttft_ms"][6] is None
    assert sum(data["lanes"][1]["columns"]["cold"]) == 1
    assert len(data["strips"]) == 60
    label, number, *pieces = data["strips"][1]
    assert (label, number) == ("full", 1)
    assert [data["texts"][piece] for piece in pieces[::3]] == ["rules", "unit/s", "observation"]
    assert [data["kinds"][kind] for kind in pieces[1::3]] == ["encoded", "encoded", "observation"]


def test_whatever_a_game_says_is_text() -> None:
    evil = made(
        name=EVIL,
        game=EVIL,
        model=EVIL,
        recorded_mode=EVIL,
        warnings=(EVIL,),
        recording=Path("x<b>"),
        constant_action=ConstantAction(EVIL, 1.0),
        environment={EVIL: EVIL},
        settings={EVIL: [EVIL]},
        digests={EVIL: EVIL},
    )
    told, plain = page(evil), page(made(warnings=("x",), constant_action=ConstantAction("x", 1.0)))
    assert {tag for tag, _ in told.tags} == {tag for tag, _ in plain.tags}
    assert sum(tag == "script" for tag, _ in told.tags) == 2
    assert EVIL in told.text("li") and EVIL in told.text("h1")
    assert EVIL in json.loads(told.texts["script"][0])["texts"]


def test_the_page_asks_nobody_for_anything() -> None:
    told = page(made())
    for tag, attributes in told.tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert not {"src", "href", "action", "style"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = (each["content"] for tag, each in told.tags if tag == "meta" and "http-equiv" in each)
    assert policy is not None
    assert re.fullmatch(r"default-src 'none'; script-src 'sha256-\S+'; style-src 'sha256-\S+'", policy)
    assert "http:" not in told.texts["script"][1] and "https:" not in told.texts["script"][1]
    assert "innerHTML" not in told.texts["script"][1]


def test_both_colour_schemes_have_every_colour() -> None:
    style = page(made()).text("style")
    light, dark = (set(re.findall(r"--[\w-]+(?=:)", part)) for part in style.split("@media")[:2])
    assert light == dark
    assert set(re.findall(r"var\((--[\w-]+)\)", style)) <= light


def test_a_long_replay_is_drawn_evenly_and_with_its_slowest_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_runtime.replay.page._MOST_DRAWN", 20)
    monkeypatch.setattr("agent_runtime.replay.page._SLOWEST_DRAWN", 3)
    report = made(100)
    slow = {37: 5000.0, 58: 4000.0, 61: 3000.0}
    samples = [replace(turn, ttft_ms=slow.get(number, 1.0)) for number, turn in enumerate(report.modes[0].samples)]
    report = replace(report, modes=(replace(report.modes[0], samples=samples),))
    told = page(report)
    numbers = json.loads(told.texts["script"][0])["lanes"][0]["columns"]["number"]
    assert numbers == sorted({*range(0, 100, 5), *slow})
    assert "23 of 100 turns of full" in told.text("p")


def test_a_report_without_turns_or_strips_is_a_page_too() -> None:
    empty = report_mode("star", Mode.STAR, [], {}, background_rows=0, background_forwards=0)
    told = page(made(modes=(empty,), strips=None, game=None))
    assert "Replay of a recording" in told.text("h1")


# In a browser.


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_draws_it_without_an_error(tmp_path: Path, scheme: str) -> None:
    assert CHROMIUM is not None
    file = tmp_path / "report.html"
    with file.open("w", encoding="utf-8") as out:
        write_page(made(name=EVIL), out)
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}",
    ]
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    ran = subprocess.run(
        [CHROMIUM, *arguments, *dark, "--virtual-time-budget=3000", "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in ran.stderr, "an error, or something that the page's own policy forbade"
    drawn = Page(ran.stdout)
    assert "hidden" not in next(each for tag, each in drawn.tags if each.get("class") == "drawn")
    assert sum(tag == "canvas" for tag, _ in drawn.tags) == 4
    assert "1 of 30" in drawn.text("output")
    assert any(each.get("title", "").startswith(f"unit/{EVIL}: encoded, 30") for _, each in drawn.tags)  # type: ignore[union-attr]
