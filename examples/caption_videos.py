"""Captions by a frozen video encoder and a frozen language model: only a resampler learns.

    python examples/caption_videos.py

Renders small clips, trains a small GPT-2 on their captions alone, freezes it and trains the
resampler between both (Appendix G). What the captions of the test clips name is compared with what
is in the clips, and in other clips. Then for one clip:

    python -m keras_videoprism caption corpus/test/test_00000.mp4 --preset videoprism_lvt_tiny \\
        --language-model captioner/language_model --resampler captioner/resampler.keras
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from keras_hub import models
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE

from keras_videoprism import presets
from keras_videoprism.commands.embed import read_clip
from keras_videoprism.data import read_manifest
from keras_videoprism.data.demo_corpus import render_demo_corpus
from keras_videoprism.data.demo_scenes import COLOURS, KINDS
from keras_videoprism.evaluation.language import cider
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner
from keras_videoprism.training.recipes import WarmupLinearDecay

NUM_LATENTS, TEXT_LENGTH, WIDTH, END = 32, 48, 128, "<|endoftext|>"


def train_tokenizer(captions: list[str]) -> models.GPT2Tokenizer:
    bpe, symbols = Tokenizer(BPE()), pre_tokenizers.ByteLevel.alphabet()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(special_tokens=[END], initial_alphabet=symbols, vocab_size=512)
    bpe.train_from_iterator(captions, trainer)
    trained = json.loads(bpe.to_str())["model"]
    return models.GPT2Tokenizer(trained["vocab"], [" ".join(pair) for pair in trained["merges"]])


def train_language_model(captions: list[str], steps: int) -> models.GPT2CausalLM:
    """A GPT-2 that knows the captions but has seen no video."""
    tokenizer, context = train_tokenizer(captions), NUM_LATENTS + TEXT_LENGTH
    sizes = tokenizer.vocabulary_size(), 3, 4, WIDTH, 4 * WIDTH, 0.0, context
    model = models.GPT2CausalLM(models.GPT2Backbone(*sizes))
    # Windows of one long text: each position of the context learns to begin and to end a caption.
    chosen = np.random.default_rng(0).integers(len(captions), size=128 * steps + 32 * context)
    text = np.concatenate(tokenizer([END + captions[number] for number in chosen]))
    windows = text[: 32 * steps * (context + 1)].reshape(-1, context + 1)
    inputs = {"token_ids": windows[:, :-1], "padding_mask": np.ones_like(windows[:, :-1])}
    trained = keras.Model(model.input, model.output)  # the fit of a CausalLM takes strings
    schedule = WarmupLinearDecay(3e-3, steps, steps // 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile(keras.optimizers.AdamW(schedule), loss)
    trained.fit(inputs, windows[:, 1:], batch_size=32)
    model.preprocessor = models.GPT2CausalLMPreprocessor(tokenizer)
    return model


def f1(captions: list[str], truths: list[str]) -> float:
    """Of the kinds and colours that captions name."""
    words = [[set(text.replace(",", "").split()) for text in texts] for texts in (captions, truths)]
    found, right = ([text & {*KINDS, *COLOURS} for text in texts] for texts in words)
    both = sum(len(a & b) for a, b in zip(found, right, strict=True))
    return 2 * both / sum(map(len, found + right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"clips": 1500, "test": 256, "language-steps": 500, "steps": 900}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    render_demo_corpus("corpus", num_clips=2 * options.clips, num_stills=1, num_test=options.test)
    encoder = presets.from_preset("videoprism_lvt_tiny").video_encoder
    tokens, captions = {}, {}
    for split in ("curated", "test"):
        rows, size = read_manifest(Path("corpus") / split), encoder.image_size
        clips = np.stack([read_clip(row.path, encoder.position_shape[0], size) for row in rows])
        tokens[split] = encoder.predict(clips, batch_size=32, verbose=0)
        captions[split] = [row.captions[0] for row in rows]

    language_model = train_language_model(captions["curated"], options.language_steps)
    resampler = PerceiverResampler(WIDTH, NUM_LATENTS, num_heads=4, head_dim=32)
    captioner = VideoCaptioner(encoder, language_model, resampler)
    schedule = WarmupLinearDecay(2e-3, options.steps, options.steps // 10)
    captioner.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4))
    text = captioner.prompts.batch([""] * options.clips, captions["curated"], TEXT_LENGTH)
    epochs = -(-64 * options.steps // options.clips)
    captioner.fit({"video_tokens": tokens["curated"], **text}, batch_size=64, epochs=epochs)
    language_model.save_to_preset("captioner/language_model")
    captioner.save("captioner/resampler.keras")

    said, truths = captioner.generate({"video_tokens": tokens["test"]}), captions["test"]
    for name, found in (("test clips", said), ("captions of other clips", said[1:] + said[:1])):
        score, _ = cider(found, [[truth] for truth in truths])
        print(f"{name}: F1 of kinds and colours {f1(found, truths):.3f}, CIDEr {score:.3f}")
    print(*zip(said[:5], truths[:5], strict=True), sep="\n")


if __name__ == "__main__":
    main()
