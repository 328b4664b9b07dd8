"""agent_runtime.engine.loading: any source becomes a LoadedModel whose digest names its contents, or a typed error."""

import json
import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from agent_runtime.engine import adapters
from agent_runtime.engine.adapters import base_digest
from agent_runtime.engine.admission import probe
from agent_runtime.engine.card import Card, write_card
from agent_runtime.engine.errors import BrokenModel, MissingPackage, ModelNotFound, UnsupportedModel
from agent_runtime.engine.forward import ForwardRunner
from agent_runtime.engine.kv_geometry import KVGeometry
from agent_runtime.engine.loading import LoadedModel, ModelSpec, load_model
from agent_runtime.engine.pool import Pool
from agent_runtime.engine.rope import RotaryTable
from tests.tiny_models import save_tiny_gguf, save_tiny_model, tiny_model

# PEFT asks models for a property under its old name, which transformers itself warns about.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

IDS = torch.arange(3, 60)[None]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "guard", "llama")


def _load(source: object, cache: Path, **options: object) -> LoadedModel:
    return load_model(ModelSpec(str(source), **options), cache)  # type: ignore[arg-type]


def _adapter(folder: Path, seed: int = 0, rank: int = 4) -> Path:
    peft = pytest.importorskip("peft")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = peft.LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        peft.get_peft_model(tiny_model("llama"), config).save_pretrained(folder)
    return folder


def test_a_folder_becomes_a_model_with_its_sizes(folder, cache):
    loaded = _load(folder, cache)
    assert (loaded.name, loaded.context_limit, loaded.num_layers, loaded.num_logits) == ("guard", 2048, 3, 512)
    assert (loaded.num_kv_heads, loaded.head_dim, loaded.kv_dtype, loaded.device) == (
        2,
        16,
        torch.float32,
        torch.device("cpu"),
    )
    assert not loaded.model.training and not any(weight.requires_grad for weight in loaded.model.parameters())
    assert loaded.text.end_of_turn == 1 and loaded.text.stop_ids == {1}
    assert torch.equal(loaded.model(IDS).logits, tiny_model("llama")(IDS).logits)
    assert not loaded.block_tuned and loaded.block_modes == ()


def test_a_gguf_file_becomes_the_same_model(tmp_path, cache):
    loaded = _load(save_tiny_gguf(tmp_path / "guard.gguf"), cache)
    assert loaded.name == "guard"
    assert torch.equal(loaded.model(IDS).logits, tiny_model("llama")(IDS).logits)


def test_equal_contents_have_equal_digests_wherever_they_lie(folder, tmp_path, cache):
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert _load(folder, cache).digest == _load(elsewhere, tmp_path / "another-cache").digest


def test_everything_that_changes_keys_and_values_changes_the_digest(folder, tmp_path, cache):
    digests = [_load(folder, cache).digest]
    digests.append(_load(folder, cache, dtype="bfloat16").digest)
    digests.append(_load(folder, cache, device_map={"": "cpu"}).digest)
    digests.append(_load(folder, cache, adapter=_adapter(tmp_path / "one", seed=1)).digest)
    digests.append(_load(folder, cache, adapter=_adapter(tmp_path / "two", seed=2)).digest)
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = 20_000.0
    (folder / "config.json").write_text(json.dumps(config))
    digests.append(_load(folder, cache).digest)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.self_attn.k_proj.weight"][0, 0] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    digests.append(_load(folder, cache).digest)
    assert len(set(digests)) == len(digests)


def test_an_adapter_has_its_own_digest(folder, tmp_path, cache):
    assert _load(folder, cache).adapter_digest is None
    one, two = (
        _load(folder, cache, adapter=_adapter(tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 2))
    )
    assert one.adapter_digest and two.adapter_digest and one.adapter_digest != two.adapter_digest


def test_the_tokenizer_has_its_own_digest(folder, cache):
    loaded = _load(folder, cache)
    (folder / "chat_template.jinja").unlink()
    plain = _load(folder, cache)
    assert plain.digest == loaded.digest and plain.tokenizer_digest != loaded.tokenizer_digest


def test_shards_are_all_part_of_the_digest(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "guard")
    tiny_model("llama").save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()
    before = _load(folder, cache)
    assert torch.equal(before.model(IDS).logits, tiny_model("llama")(IDS).logits)
    last = sorted(folder.glob("model-*.safetensors"))[-1]
    weights = load_file(last)
    next(iter(weights.values())).add_(1)
    save_file(weights, last, metadata={"format": "pt"})
    assert _load(folder, cache).digest != before.digest


def test_dtype_auto_is_float32_on_a_cpu(folder, cache):
    assert _load(folder, cache, device="cpu").kv_dtype == torch.float32
    assert _load(folder, cache, dtype="bfloat16").model.dtype == torch.bfloat16


def test_an_adapter_is_merged_and_named(folder, tmp_path, cache):
    adapter = _adapter(tmp_path / "brave", seed=1)
    (adapter / "hotseat.json").write_text('{"block_modes": ["star", "anchored"], "recipe": "block tuning"}')
    loaded, base = _load(folder, cache, adapter=adapter), _load(folder, cache)
    assert loaded.name == "guard+brave"
    assert loaded.block_modes == ("star", "anchored") and loaded.block_tuned
    assert type(loaded.model) is type(base.model)
    assert not torch.allclose(loaded.model(IDS).logits, base.model(IDS).logits)


@pytest.mark.filterwarnings("ignore:Model has .tie_word_embeddings", "ignore:Setting .save_embedding_layers. to")
@pytest.mark.parametrize("changed", ["lm_head", "embed_tokens"])
def test_an_adapter_of_a_head_that_is_the_embedding_changes_what_it_was_trained_for_alone(changed, folder, cache):
    peft = pytest.importorskip("peft")
    model = tiny_model("llama")
    model.config.tie_word_embeddings, model.lm_head.weight = True, model.get_input_embeddings().weight
    model.save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = peft.LoraConfig(r=4, target_modules=["q_proj", changed], init_lora_weights=False)
        trained = peft.get_peft_model(model, config).eval()
    trained.save_pretrained(folder / "brave")
    loaded = _load(folder, cache, adapter=folder / "brave")
    with torch.inference_mode():
        assert torch.allclose(loaded.model(IDS).logits, trained(IDS).logits, atol=1e-3)


def test_the_card_of_the_weights_does_not_speak_for_another_adapter(folder, tmp_path, cache):
    (folder / "hotseat.json").write_text('{"block_modes": ["star"]}')
    assert _load(folder, cache).block_modes == ("star",)
    assert _load(folder, cache, adapter=_adapter(tmp_path / "brave")).block_modes == ()


@pytest.mark.parametrize(
    "card", ["{", "[]", '{"block_modes": "star"}', '{"block_modes": ["sun"]}', '{"modes": []}', '{"block_modes": [1]}']
)
def test_a_broken_card_is_refused_with_an_example(folder, cache, card):
    (folder / "hotseat.json").write_text(card)
    with pytest.raises(BrokenModel, match=r'Write it as \{"block_modes": \["star"\]\}'):
        _load(folder, cache)


def test_device_map_and_quantization_go_to_transformers_as_they_are(folder, cache, monkeypatch):
    seen = {}
    load = transformers.AutoModelForCausalLM.from_pretrained

    def spy(target: str, **options: object) -> object:
        seen.update(options)
        options.pop("quantization_config")
        return load(target, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", spy)
    config = {"quant_method": "hqq", "nbits": 4}
    loaded = _load(folder, cache, device_map={"": "cpu"}, quantization_config=config)
    assert (seen["device_map"], seen["quantization_config"], seen["trust_remote_code"]) == ({"": "cpu"}, config, False)
    assert (
        loaded.digest != _load(folder, cache, device_map={"": "cpu"}, quantization_config={**config, "nbits": 8}).digest
    )


def test_a_quantization_that_is_not_installed_is_a_sentence(folder, cache):
    with pytest.raises(BrokenModel, match="cannot be loaded"):
        _load(folder, cache, quantization_config={"quant_method": "hqq", "nbits": 4})


def test_a_model_that_blocks_are_wrong_for_is_refused_before_its_weights_are_read(tmp_path, cache):
    folder = save_tiny_model(tmp_path / "windowed", "sliding")
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UnsupportedModel, match="sliding window"):
        _load(folder, cache)


def test_torn_weights_are_refused(folder, cache):
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(BrokenModel, match="cannot be loaded"):
        _load(folder, cache)


def test_weights_that_are_missing_are_not_made_up(folder, cache):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match="1 weights are missing, the first is model.layers.2.mlp.up_proj.weight"):
        _load(folder, cache)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_torn_file_beside_the_weights_is_refused(folder, cache, name):
    (folder / name).write_text("{")
    with pytest.raises(BrokenModel, match="cannot be loaded"):
        _load(folder, cache)


def test_a_folder_without_a_tokenizer_is_refused(folder, cache):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(BrokenModel, match="cannot be loaded"):
        _load(folder, cache)


def test_code_that_comes_with_a_model_is_never_run(folder, cache, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    config.update(model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')")
    with pytest.raises(BrokenModel, match="Hotseat never runs a model's code"):
        _load(folder, cache)
    assert not (tmp_path / "owned").exists()


def test_a_dtype_that_does_not_exist_is_refused(folder, cache):
    for dtype in ("float33", "int8", "nn"):
        with pytest.raises(BrokenModel, match="Use auto, float32, bfloat16 or float16"):
            _load(folder, cache, dtype=dtype)


def test_an_adapter_that_is_none_is_refused(folder, tmp_path, cache):
    with pytest.raises(ModelNotFound, match="no such folder"):
        _load(folder, cache, adapter=tmp_path / "nowhere")
    with pytest.raises(BrokenModel, match="no adapter_config.json or no adapter_model.safetensors"):
        _load(folder, cache, adapter=folder)


def test_an_adapter_of_another_model_is_refused(folder, tmp_path, cache):
    adapter = _adapter(tmp_path / "brave")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({key: weight[:, :2].contiguous() for key, weight in weights.items()}, file)
    with pytest.raises(BrokenModel, match="does not fit the model"):
        _load(folder, cache, adapter=adapter)
    save_file({key.replace("layers.2", "layers.9"): weight for key, weight in weights.items()}, file)
    with pytest.raises(BrokenModel, match="does not fit the model"):
        _load(folder, cache, adapter=adapter)


def test_an_adapter_with_a_value_that_is_no_number_is_refused(folder, tmp_path, cache):
    adapter = _adapter(tmp_path / "brave")
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    name = max(weights)
    weights[name][0] = torch.nan
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BrokenModel, match=f"brave.*its weight {name} is damaged.*Copy the adapter again"):
        _load(folder, cache, adapter=adapter)


def test_an_adapter_of_other_weights_is_refused_before_any_are_loaded(folder, tmp_path, cache, monkeypatch):
    adapter = _adapter(tmp_path / "brave")
    write_card(adapter, Card(("star",), base=base_digest(str(folder), cache)))
    assert _load(folder, cache, adapter=adapter).block_tuned
    other, file = save_tiny_model(tmp_path / "other", "llama", seed=1), tmp_path / "other.gguf"
    save_tiny_gguf(file)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", None)
    for source in (other, file):
        with pytest.raises(BrokenModel, match="it was tuned for other weights than"):
            _load(source, cache, adapter=adapter)


def test_an_adapter_of_other_weights_of_a_hub_is_refused_once_they_are_here(tmp_path, cache, monkeypatch, folder):
    _hub_of(tmp_path / "hub", folder, monkeypatch)
    adapter = _adapter(tmp_path / "brave")
    write_card(adapter, Card(("star",), base=base_digest(str(folder), cache)))
    assert _load("studio/guard", cache, adapter=adapter).block_tuned
    write_card(adapter, Card(("star",), base="0" * 64))
    with pytest.raises(BrokenModel, match="it was tuned for other weights than 'studio/guard'"):
        _load("studio/guard", cache, adapter=adapter)


def test_without_peft_the_error_says_how_to_install_it(folder, tmp_path, cache, monkeypatch):
    adapter = _adapter(tmp_path / "brave")
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "use_dora": True}))
    monkeypatch.setattr(adapters.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r'pip install "hotseat\[tuning\]"'):
        _load(folder, cache, adapter=adapter)


def _hub_of(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the hub's cache hold `folder` as studio/guard."""
    snapshot = home / "models--studio--guard" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(folder, snapshot)
    (snapshot / "hotseat.json").write_text('{"block_modes": ["anchored"]}')
    (home / "models--studio--guard" / "refs").mkdir()
    (home / "models--studio--guard" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home))


def test_a_hub_name_is_loaded_from_where_the_hub_keeps_it(tmp_path, cache, monkeypatch, folder):
    _hub_of(tmp_path / "hub", folder, monkeypatch)
    loaded = _load("studio/guard", cache)
    assert (loaded.name, loaded.block_modes) == ("studio/guard", ("anchored",))
    assert loaded.digest == _load(folder, cache).digest


def test_a_hub_name_that_cannot_be_reached_is_not_found(cache):
    with pytest.raises(ModelNotFound, match="no such folder, and from the hub: .*check its path.*check its name"):
        _load("studio/no-such-model-anywhere", cache)


@pytest.mark.smollm
def test_the_embedded_model_is_laid_out_as_its_own_template_and_passes_the_probe(smollm):
    assert (smollm.name, smollm.num_layers, smollm.num_kv_heads) == ("SmolLM2-135M-Instruct.Q4_1", 30, 3)
    assert (smollm.head_dim, smollm.context_limit, smollm.block_tuned) == (64, 8192, False)
    rules, question = "You are a guard.\n", "unit/guard-7\nhp: 128\n\n1. hold\n  2. go"
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
    rendered = smollm.text.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(smollm.text.anchor_ids(rules) + smollm.text.observation_ids(question)) == rendered
    assert smollm.text.decode(smollm.text.answer_ids("hold")) == "hold"
    assert "".join(smollm.text.decode([token]) for token in smollm.text.block_ids("a <|im_end|>")) == "a <|im_end|>"
    geometry = KVGeometry(3, 64, torch.float32, (smollm.device,) * 30)
    rope = RotaryTable(smollm.model.get_decoder().rotary_emb.inv_freq, smollm.context_limit)
    attention = smollm.model.config._attn_implementation
    try:
        probe(ForwardRunner(smollm.model, Pool(geometry, 64), rope), smollm.model)
    finally:
        smollm.model.set_attn_implementation(attention)
