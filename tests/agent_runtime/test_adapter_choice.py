"""Which adapter is meant: two words, and folders."""

from pathlib import Path

import pytest

from agent_runtime.adapter_choice import AdapterChoice, adapter_arguments, adapter_named


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (None, AdapterChoice.DEFAULT),
        ("none", AdapterChoice.NONE),
        ("packaged", AdapterChoice.PACKAGED),
        ("./none", Path("none")),
        ("default", Path("default")),
        ("tuned/adapter", Path("tuned/adapter")),
    ],
)
def test_a_word_or_a_folder_is_meant_and_a_child_process_is_told_the_same(
    said: str | None, meant: Path | AdapterChoice
) -> None:
    assert adapter_named(said) == meant
    told = adapter_arguments(meant)
    again = adapter_named(told[1]) if told else AdapterChoice.DEFAULT
    assert again == (meant.absolute() if isinstance(meant, Path) else meant)
