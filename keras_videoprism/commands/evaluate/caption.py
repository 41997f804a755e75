"""Zero-shot captions: CIDEr, with BLEU-4 and ROUGE-L beside it (Table 5)."""

import numpy as np

from keras_videoprism.commands.evaluate.language import Prefixes, Speaker
from keras_videoprism.commands.evaluate.loaders import Captioned
from keras_videoprism.commands.evaluate.outcome import Answer, Outcome
from keras_videoprism.evaluation.language import bleu, cider, rouge_l
from keras_videoprism.evaluation.words import split_pairs, tokenize


def caption(speaker: Speaker, found: Captioned) -> Outcome:
    """One caption of each clip against those of people; chance: those of other clips.

    Raises:
        ValueError: a clip has no caption or one without words, or the prompt is too long.
    """
    rows = found.test
    bare = [row.name for row in rows if not row.captions]
    if bare:
        raise ValueError(f"{len(bare)} clips have no caption to compare with, such as {bare[:5]}")
    split_pairs([""] * len(rows), [row.captions for row in rows], tokenize)  # before the work
    prompt = speaker.captioner.prompts.prompt(speaker.language.prompt)
    speaker.check_length([prompt], speaker.language.max_tokens - 1)
    stored, features = speaker.see(rows, "test")
    rows = stored.rows
    texts = speaker.say(Prefixes(features, stored.clip_ids), [prompt] * len(rows))
    references = [row.captions for row in rows]
    score, of_clips = cider(texts, references)
    others = texts[1:] + texts[:1]
    numbers = {
        "cider": score,
        "bleu4": bleu(texts, references)[4],
        "rouge_l": rouge_l(texts, references)[0],
        "chance_cider": cider(others, references)[0],
    }
    notes = {
        "references": sum(map(len, references)),
        "captions without words": int(np.sum([not tokenize(text) for text in texts])),
        "chance": "the captions of other clips",
    }
    said = zip(rows, texts, references, of_clips.tolist(), strict=True)
    answers = [Answer(row, "", text, right, value) for row, text, right, value in said]
    return Outcome(numbers, len(rows), stored.excluded, rows=rows, notes=notes, answers=answers)
