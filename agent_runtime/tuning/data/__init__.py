"""Generators of samples: nothing is fetched, and a sample depends on its arguments, seed, split and number alone.

`generating.py` says what a generator is. The game folders beside the generators are games like any other:
`hotseat prompts check` and `hotseat serve --games` take them. `instruct.jsonl` is for measuring: conversations that no
generator knows (`agent_runtime.tuning.evaluating.texts`). `self_talk.py` alone needs a model, whose conversations it
writes down.
"""
