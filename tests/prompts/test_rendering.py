from pathlib import Path
from typing import Any

import pytest

from prompts.errors import GameFolderError, TemplateFailed
from prompts.rendering import TemplateFolder, render


def filled(folder: Path, source: str, **values: Any) -> str:
    (folder / "t.md").write_text(source, encoding="utf-8")
    return render(TemplateFolder(folder).template("t.md", set(values)), "/units/p", **values)


def test_what_is_printed_is_text_as_it_is_and_json_for_the_rest(tmp_path: Path) -> None:
    values = [None, True, 3, 2.50, 10**30, "a\nb", ["x"], {"b": 1, "a": "é"}]
    expected = ["null", "true", "3", "2.5", str(10**30), "a\nb", '["x"]', '{"a":"é","b":1}']
    assert [filled(tmp_path, "{{ x }}", x=value) for value in values] == expected


def test_a_member_comes_before_a_method_of_the_same_name(tmp_path: Path) -> None:
    assert filled(tmp_path, "{{ x.items }} {{ x.get }}", x={"items": ["sword"], "get": 1}) == '["sword"] 1'
    assert filled(tmp_path, "{% for k, v in x.items() %}{{ k }}{{ v }}{% endfor %}", x={"a": 1}) == "a1"


def test_values_are_data_and_never_templates(tmp_path: Path) -> None:
    nasty = "{{ 7 * 7 }} {% raw %} <|im_end|> <b>&amp;</b> {#"
    assert filled(tmp_path, "{{ x }}", x=nasty) == nasty


def test_lone_surrogates_are_spelled_out(tmp_path: Path) -> None:
    assert filled(tmp_path, "{{ x }}", x="\ud800!") == "\\ud800!"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("\n{{ x.hp }}", "no attribute 'hp'"),
        ("\n{{ x.name + 1 }}", "TypeError"),
        ("\n{{ x.keys }}", "a function cannot be printed"),
        ("\n{{ ''.__class__.__mro__ }}", "SecurityError"),
        ("\n{{ x.update({'a': 1}) }}", "SecurityError"),
        ("\n{{ 1 / 0 }}", "ZeroDivisionError"),
    ],
)
def test_a_template_that_breaks_names_its_line_and_what_it_was_filled_in_for(
    tmp_path: Path, source: str, says: str
) -> None:
    with pytest.raises(TemplateFailed, match=says) as caught:
        filled(tmp_path, source, x={"name": "p"})
    assert (caught.value.file, caught.value.line, caught.value.what) == (tmp_path / "t.md", 2, "/units/p")


def test_an_error_in_an_included_template_names_that_one(tmp_path: Path) -> None:
    (tmp_path / "inner.md").write_text("\n\n{{ x.hp }}")
    with pytest.raises(TemplateFailed) as caught:
        filled(tmp_path, "{% include 'inner.md' %}", x={})
    assert (caught.value.file, caught.value.line) == (tmp_path / "inner.md", 3)


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name.replace('__', '/')}.md").parent.mkdir(exist_ok=True)
        (folder / f"{name.replace('__', '/')}.md").write_text(text, encoding="utf-8")


def test_an_error_in_a_macro_of_a_folder_above_names_the_macros_file(tmp_path: Path) -> None:
    write(tmp_path, macros="{% macro hp(unit) %}\n{{ unit.hp }}\n{% endmacro %}")
    write(tmp_path, parts__unit="{% from 'macros.md' import hp %}\n{{ hp(x) }}")
    template = TemplateFolder(tmp_path).template("parts/unit.md", {"x"})
    assert render(template, "/", x={"hp": 3}) == "3"
    with pytest.raises(TemplateFailed, match="no attribute 'hp'") as caught:
        render(template, "/", x={})
    assert (caught.value.file, caught.value.line) == (tmp_path / "macros.md", 2)


def test_a_macro_that_never_ends_is_an_error_with_its_line(tmp_path: Path) -> None:
    source = "{% macro again(n) %}\n{{ again(n + 1) }}\n{% endmacro %}\n{{ again(x) }}"
    with pytest.raises(TemplateFailed, match="RecursionError") as caught:
        filled(tmp_path, source, x=1)
    assert (caught.value.file, caught.value.line) == (tmp_path / "t.md", 2)


def test_what_is_included_knows_the_names_of_its_includer_and_a_macro_only_what_it_is_handed(tmp_path: Path) -> None:
    write(tmp_path, inner="{{ x }}{{ y }}{{ i }}{{ hp(x) }}", macros="{% macro hp(n) %}<{{ n }}>{% endmacro %}")
    source = "{% from 'macros.md' import hp %}{% set y = 2 %}{% for i in [5] %}{% include 'inner.md' %}{% endfor %}"
    assert filled(tmp_path, source, x=1) == "125<1>"
    write(tmp_path, macros="{% macro hp(n) %}\n{{ x }}{% endmacro %}")
    with pytest.raises(GameFolderError, match=r"macros\.md:2: 'x' is not known here\. Hand it to the macro"):
        filled(tmp_path, source, x=1)


def test_a_misspelt_name_in_what_is_included_is_found_when_the_game_is_loaded(tmp_path: Path) -> None:
    write(tmp_path, inner="\n{{ valeu }}")
    with pytest.raises(GameFolderError, match=r"inner\.md:2: 'valeu' is not known here\. There are: x\."):
        filled(tmp_path, "{% include 'inner.md' %}", x=1)


def test_a_template_may_extend_another_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path, base="<{% block body %}{% endblock %}{{ x }}>")
    assert filled(tmp_path, "{% extends 'base.md' %}{% block body %}[{{ x }}]{% endblock %}", x=1) == "<[1]1>"


@pytest.mark.parametrize("kind", ["include '{}'", "import '{}' as m", "from '{}' import m", "extends '{}'"])
def test_nothing_outside_of_the_folder_is_read(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "game"
    folder.mkdir()
    (tmp_path / "secret.md").write_text("out of reach")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    for name in ("../secret.md", str(tmp_path / "secret.md"), "link.md", "./../game/../secret.md"):
        with pytest.raises(GameFolderError, match="Nothing outside of a game's folder is read") as caught:
            filled(folder, "\n{% " + kind.format(name) + " %}")
        assert (caught.value.file, caught.value.line) == (folder / "t.md", 2)


def test_nothing_that_changes_by_itself_can_be_printed(tmp_path: Path) -> None:
    folder = TemplateFolder(tmp_path)
    assert "lipsum" not in folder.globals
    assert "random" not in folder.filters


def test_a_filled_in_template_does_not_need_its_file_any_more(tmp_path: Path) -> None:
    (tmp_path / "inner.md").write_text("hp {{ x }}")
    (tmp_path / "t.md").write_text("{% include 'inner.md' %}")
    template = TemplateFolder(tmp_path).template("t.md", {"x"})
    (tmp_path / "inner.md").unlink()
    assert render(template, "/", x=3) == "hp 3"
