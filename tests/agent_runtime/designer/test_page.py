"""agent_runtime.designer.page: one file, nothing fetched, nothing from a state that is more than text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from agent_runtime.designer import page as page_module
from agent_runtime.designer.page import page, write_page
from agent_runtime.errors import CannotWrite
from tests.agent_runtime.designer.chromium import CHROMIUM, evaluated, opened
from tests.agent_runtime.designer.worlds import course_of, report_on
from tests.prompts.worlds import UNITS, rule

NASTY = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">&amp;<!--"


class Elements(HTMLParser):
    """Every tag, every attribute, and the text of the scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.cdata_elem:
            self.scripts[-1] += data


def states(num_frames: int = 5) -> list[Any]:
    return [
        {"units": [{"id": NASTY, "hp": number}, {"id": "calm", "hp": 1}], NASTY: {"x": NASTY}}
        for number in range(num_frames)
    ]


@pytest.fixture
def html(tmp_path: Path) -> str:
    return page(report_on(course_of(tmp_path, UNITS, states())))


def test_all_of_a_state_is_text(html: str) -> None:
    elements = Elements(html)
    assert "img" not in elements.tags and elements.tags.count("script") == 2
    assert not [name for name, _ in elements.attributes if name.startswith("on") or name in ("src", "href", "style")]
    data = json.loads(elements.scripts[0])
    assert any("</script>" in text for text in data["texts"])
    assert html.count("</script>") == 2


def test_the_page_names_no_address_and_admits_only_its_own_script_and_style(html: str) -> None:
    assert not re.findall(r"https?:|//[a-z]|@import|url\(", html.replace(page_module._part("page.js"), ""))
    policy = next(value for name, value in Elements(html).attributes if name == "content" and value and "src" in value)
    assert policy is not None and policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_data_says_what_the_course_says(tmp_path: Path) -> None:
    course = course_of(tmp_path, UNITS, states())
    data = json.loads(Elements(page(report_on(course))).scripts[0])
    assert data["frames"] == [1, 2, 3, 4, 5]
    assert [block["name"] for block in data["blocks"]] == [block.name for block in course.blocks]
    changing, still, _ = data["blocks"]
    assert [since for since, _, _ in changing["versions"]] == [0, 1, 2, 3, 4]
    assert [since for since, _, _ in still["versions"]] == [0]
    assert data["texts"][still["versions"][0][1]] == '/units/calm\n{"hp":1,"id":"calm"}\n'


def test_long_texts_are_cut_and_too_many_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_MOST_CHARACTERS", 50)
    monkeypatch.setattr(page_module, "_MOST_CHARACTERS_IN_ALL", 300)
    course = course_of(tmp_path, rule("/log/*", "log/{key}"), [{"log": {str(n): f"{n} " * 90 for n in range(20)}}])
    data = json.loads(Elements(page(report_on(course))).scripts[0])
    assert "more characters)" in data["texts"][0] and "left out" in data["texts"][-1]
    assert sum(map(len, data["texts"])) < 500


def test_a_page_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="Name a file in a folder that is there"):
        write_page(report_on(course_of(tmp_path, UNITS, states(1))), tmp_path / "missing" / "page.html")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_draws_it_and_shows_a_cell(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    write_page(report_on(course_of(tmp_path, UNITS, states())), file)
    with opened(file, tmp_path / "profile") as (view, session):
        assert evaluated(view, session, "document.body.dataset.drawn") == "3x5"
        assert evaluated(view, session, "document.title") == "Blocks of tiny: states.jsonl"
        point = """(x, y) => { const c = document.getElementById('cells'), b = c.getBoundingClientRect();
            c.dispatchEvent(new MouseEvent('mousemove', {clientX: b.left + x, clientY: b.top + y, bubbles: true}));
            return document.getElementById('tip').innerText }"""
        said = evaluated(view, session, f"({point})(16 * 2 + 4, 4)")
        assert "frame 3, changed" in said and "</script>" in said
        assert "frame 3, unchanged since frame 1" in evaluated(view, session, f"({point})(16 * 2 + 4, 18)")
        assert "frame 1, new" in evaluated(view, session, f"({point})(4, 18)")
        keys = """document.getElementById('grid').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight'})),
            document.getElementById('tip').innerText"""
        assert "frame 2, unchanged" in evaluated(view, session, keys)
        find = """(f => { f.value = 'calm'; f.dispatchEvent(new Event('input'));
            return document.getElementById('names').children.length })(document.getElementById('find'))"""
        assert evaluated(view, session, find) == 1
        assert view.complaints == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_draws_300_blocks_over_200_frames_at_once(tmp_path: Path) -> None:
    many = [{"units": [{"id": f"u{n}", "hp": f if n == f % 300 else 0} for n in range(300)]} for f in range(200)]
    file = tmp_path / "page.html"
    write_page(report_on(course_of(tmp_path, UNITS, many)), file)
    assert file.stat().st_size < 1_000_000
    with opened(file, tmp_path / "profile") as (view, session):
        assert evaluated(view, session, "document.body.dataset.drawn") == "300x200"
        size = evaluated(view, session, "(c => [c.clientWidth, c.clientHeight])(document.getElementById('cells'))")
        assert size == [1400, 4200]
        drawing = "(t => { document.getElementById('find').dispatchEvent(new Event('input'));"
        assert evaluated(view, session, f"{drawing} return performance.now() - t }})(performance.now())") < 5000
        assert view.complaints == []
