"""Makes a chat model of 260,000 random weights: it talks nonsense, on a real inference server.

Runs under .venv-peers-inference, not under the tests' interpreter: tiny_model.py FOLDER
"""
# mypy: disable-error-code="import-not-found"
# (its packages are only in .venv-peers-inference, so they are unknown to the checker)

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, INNER = 4, 64, 4, 2, 32, 128
CONTEXT = 4096
VOCABULARY = 1000
UNKNOWN, BEGIN, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    """Trained on sentences of made-up words."""
    dice = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(dice.choices(letters, k=dice.randint(2, 7))) for _ in range(800)]
    text = [" ".join(dice.choices(words, k=12)) + "." for _ in range(3000)]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[UNKNOWN, BEGIN, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(text, trainer)
    return made


def config(vocabulary: int, end: int) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "rms_norm_eps": 1e-6,
        "vocab_size": vocabulary,
        "max_position_embeddings": CONTEXT,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "eos_token_id": end,
    }


def weights(vocabulary: int) -> dict[str, Any]:
    dice = np.random.default_rng(0)
    shapes = {
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HEADS * HEAD, HIDDEN),
        "self_attn.k_proj": (KV_HEADS * HEAD, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * HEAD, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HEADS * HEAD),
        "self_attn.q_norm": (HEAD,),
        "self_attn.k_norm": (HEAD,),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    named = {"model.embed_tokens": (vocabulary, HIDDEN), "model.norm": (HIDDEN,)}
    for layer in range(LAYERS):
        named |= {f"model.layers.{layer}.{name}": shape for name, shape in shapes.items()}
    return {
        f"{name}.weight": np.ones(shape, np.float32)
        if len(shape) == 1
        else dice.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in named.items()
    }


def make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made = tokenizer()
    made.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": UNKNOWN,
        "chat_template": CHAT,
        "model_max_length": CONTEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described))
    size = made.get_vocab_size()
    (folder / "config.json").write_text(json.dumps(config(size, made.token_to_id(END))))
    save_file(weights(size), str(folder / "model.safetensors"), metadata={"format": "mlx"})


if __name__ == "__main__":
    make(Path(sys.argv[1]))
