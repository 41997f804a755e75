"""Captions by a frozen video encoder and a frozen language model: only a resampler learns.

    python examples/caption_videos.py

Draws the clips of the demo's corpus, trains a small GPT-2 on their captions, freezes it and trains
the resampler between both (section 3.3, Appendix G). Then it tells how many kinds and colours of
the objects in the test clips their captions name, and those of other clips. Afterwards:

    python -m keras_videoprism caption clip.mp4 --preset videoprism_lvt_tiny \\
        --language-model captioner/language_model --resampler captioner/resampler.keras
"""

import argparse
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
from keras_hub import models
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE

from keras_videoprism import presets
from keras_videoprism.commands.embed import compile_forward, fit_frames
from keras_videoprism.commands.progress import progress_bar
from keras_videoprism.data.demo_corpus import MOTION_VERBS, draw_clip, load_digit_images
from keras_videoprism.data.demo_scenes import COLOURS, DIRECTIONS, KINDS
from keras_videoprism.evaluation.language import cider
from keras_videoprism.heads import PerceiverResampler, VideoCaptioner
from keras_videoprism.models import VideoPrism
from keras_videoprism.training.recipes import WarmupLinearDecay

NUM_LATENTS, TEXT_LENGTH, WIDTH, HEADS = 16, 48, 96, 3
BATCH_SIZE, CLIPS_AT_ONCE = 64, 128
END = "<|endoftext|>"
NAMES = {*KINDS, *COLOURS}
MOTION = re.compile(f"(?:{'|'.join(MOTION_VERBS)}) (?:to the )?([a-z]+(?: left| right)?)")


def watch(
    encoder: VideoPrism, split: str, number: int
) -> tuple[np.ndarray, list[str], list[set[str]]]:
    """Tokens [n, S, D] of clips, the captions, and the directions in which the objects move."""
    digits = load_digit_images()["test" if split == "test" else "train"]

    def draw(index: int) -> tuple[np.ndarray, str, set[str]]:
        frames, caption, sprites = draw_clip(split, index, digits)
        moves = {list(DIRECTIONS)[sprite.direction] for sprite in sprites}
        return fit_frames(frames, encoder.position_shape[0], encoder.image_size), caption, moves

    tokens, captions, directions = [], [], []
    with ThreadPoolExecutor() as executor, progress_bar(f"watch {split}") as progress:
        for start in range(0, number, CLIPS_AT_ONCE):
            indices = range(start, start + CLIPS_AT_ONCE)
            clips, texts, moves = zip(*executor.map(draw, indices), strict=True)
            tokens.append(np.asarray(encoder.predict_on_batch(np.stack(clips)), "float16"))
            captions += texts
            directions += moves
            progress(min(len(captions), number), number)
    return np.concatenate(tokens)[:number], captions[:number], directions[:number]


def train_tokenizer(captions: list[str]) -> models.GPT2Tokenizer:
    """Byte pairs of the captions."""
    bpe, symbols = Tokenizer(BPE()), pre_tokenizers.ByteLevel.alphabet()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(special_tokens=[END], initial_alphabet=symbols, vocab_size=512)
    bpe.train_from_iterator(captions, trainer)
    trained = json.loads(bpe.to_str())["model"]
    return models.GPT2Tokenizer(trained["vocab"], [" ".join(pair) for pair in trained["merges"]])


def train_language_model(captions: list[str], steps: int) -> models.GPT2CausalLM:
    """A GPT-2 that has read captions behind notes, and seen no video.

    A note holds the kinds and colours of the caption in any order, and is as long as the video will
    be. So the model heeds what stands before a caption, as large language models do.
    """
    tokenizer, rng = train_tokenizer(captions), np.random.default_rng(0)
    end = tokenizer.end_token_id
    length = NUM_LATENTS + TEXT_LENGTH
    rows = np.full((steps * BATCH_SIZE, length + 1), end, "int32")
    counts = np.zeros((len(rows), length), "float32")  # 1 for a token of a caption
    for row, count in zip(rows, counts, strict=True):
        caption = captions[rng.integers(len(captions))]
        named = [word for word in caption.replace(",", "").split() if word in NAMES]
        note = tokenizer(" " + " ".join(rng.permutation(named))).tolist()[:NUM_LATENTS]
        text = [end, *tokenizer(caption).tolist(), end][: TEXT_LENGTH + 1]
        row[: len(note)] = note
        row[NUM_LATENTS : NUM_LATENTS + len(text)] = text
        count[NUM_LATENTS : NUM_LATENTS + len(text) - 1] = 1
    model = models.GPT2CausalLM(
        models.GPT2Backbone(tokenizer.vocabulary_size(), 2, HEADS, WIDTH, 4 * WIDTH, 0.0, length)
    )
    trained = keras.Model(model.input, model.output)  # the fit of a CausalLM takes strings
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    trained.compile(keras.optimizers.AdamW(WarmupLinearDecay(3e-3, steps, steps // 10)), loss)
    inputs = {"token_ids": rows[:, :-1], "padding_mask": np.ones_like(rows[:, :-1])}
    trained.fit(inputs, rows[:, 1:], batch_size=BATCH_SIZE, sample_weight=counts)
    model.preprocessor = models.GPT2CausalLMPreprocessor(tokenizer)
    return model


def f1(captions: list[str], truths: list[str]) -> float:
    """Of the kinds and colours that captions name."""
    words = [[set(text.replace(",", "").split()) for text in texts] for texts in (captions, truths)]
    found, right = ([text & NAMES for text in texts] for texts in words)
    both = sum(len(a & b) for a, b in zip(found, right, strict=True))
    return 2 * both / sum(map(len, found + right))


def motion(captions: list[str], directions: list[set[str]]) -> str:
    """How often captions name a motion, and one that is there."""
    found = [
        (MOTION.findall(text), moves) for text, moves in zip(captions, directions, strict=True)
    ]
    right = [word in moves for words, moves in found for word in words]
    return f"{len(right)} motions named, {sum(right)} of them right"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    sizes = {"clips": 32000, "test": 512, "language-steps": 1000, "steps": 6000}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    encoder = presets.from_preset("videoprism_lvt_tiny").video_encoder
    compile_forward(encoder)
    tokens, captions, _ = watch(encoder, "curated", options.clips)
    language_model = train_language_model(captions, options.language_steps)
    resampler = PerceiverResampler(WIDTH, NUM_LATENTS, num_layers=3, num_heads=4, head_dim=32)
    captioner = VideoCaptioner(encoder, language_model, resampler)
    schedule = WarmupLinearDecay(2e-3, options.steps, options.steps // 10)
    captioner.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4))
    text = captioner.prompts.batch([""] * len(captions), captions, TEXT_LENGTH)
    epochs = -(-BATCH_SIZE * options.steps // len(captions))
    captioner.fit({"video_tokens": tokens, **text}, batch_size=BATCH_SIZE, epochs=epochs)

    folder = Path("captioner")
    folder.mkdir(exist_ok=True)
    language_model.save_to_preset(str(folder / "language_model"))
    captioner.save(folder / "resampler.keras")
    tokens, truths, directions = watch(encoder, "test", options.test)
    said = captioner.generate({"video_tokens": tokens}, max_tokens=40)
    for name, found in (("test clips", said), ("captions of other clips", said[1:] + said[:1])):
        score, _ = cider(found, [[truth] for truth in truths])
        named = f"F1 of kinds and colours {f1(found, truths):.3f}, CIDEr {score:.3f}"
        print(f"{name}: {named}, {motion(found, directions)}")
    print("\nsaid | in the clip")
    print(*map(" | ".join, zip(said[:5], truths[:5], strict=True)), sep="\n")


if __name__ == "__main__":
    main()
