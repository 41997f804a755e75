"""Video files or clips -> the most likely of some named classes."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_videoprism.commands.embed import compile_forward, embed_clips, read_clip
from keras_videoprism.data.video import VideoError
from keras_videoprism.evaluation import zero_shot
from keras_videoprism.models import VideoClassifier, VideoPrismLvT

TEMPERATURE = 0.01  # of the official demo


def zero_shot_classify(
    model: VideoPrismLvT,
    videos: np.ndarray,
    class_names: Sequence[str],
    templates: str | Sequence[str] = "kinetics",
) -> np.ndarray:
    """Probabilities of classes by the similarity of their prompts.

    Args:
        model: with a tokenizer.
        videos: [B, T, H, W, 3], float in [0, 1] or uint8.
        class_names: C different names.
        templates: prompts with one `{}` for the name, or the name of a list of
            `evaluation.zero_shot.TEMPLATES`.

    Returns:
        float32 [B, C], a softmax at temperature 0.01 as in the official demo.

    Raises:
        ValueError: a class twice or none, an unknown list, or a model without tokenizer.
    """
    names = class_vectors(model, class_names, templates)
    scores = zero_shot.zero_shot_scores(embed_clips(model, videos), names)
    return softmax(scores / TEMPERATURE)


def class_vectors(
    model: VideoPrismLvT, class_names: Sequence[str], templates: str | Sequence[str]
) -> np.ndarray:
    """Unit vectors [C, D] of the classes; see `zero_shot_classify`."""
    if isinstance(templates, str):
        if templates not in zero_shot.TEMPLATES:
            raise ValueError(
                f"templates must be a list or one of {sorted(zero_shot.TEMPLATES)}, received "
                f"{templates!r}."
            )
        templates = zero_shot.TEMPLATES[templates]
    return zero_shot.class_embeddings(
        lambda texts: keras.ops.convert_to_numpy(model.encode_text(texts)), class_names, templates
    )


def classify_files(
    model: VideoPrismLvT | VideoClassifier,
    files: Sequence[str | Path],
    class_names: Sequence[str],
    templates: str | Sequence[str] = "kinetics",
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[tuple[str, np.ndarray]], list[tuple[str, str]]]:
    """Probabilities of the classes of each file, as one clip.

    Args:
        model: a `VideoPrismLvT` compares with the prompts of the names; a `VideoClassifier` has
            learned the classes, and the names stand in the order of its labels.
        files: videos and images.
        class_names, templates: see `zero_shot_classify`.
        progress: called with (files done, files in all).

    Returns:
        (file, probabilities [C]) of the files that could be read, (file, reason) of the others.
    """
    if isinstance(model, VideoPrismLvT):
        encoder, vectors = model.video_encoder, class_vectors(model, class_names, templates)
    elif not isinstance(model, VideoClassifier):
        raise ValueError(
            f"a {type(model).__name__} names nothing; it has neither text nor classes."
        )
    elif len(class_names) != model.num_classes:
        raise ValueError(f"{len(class_names)} names for {model.num_classes} classes.")
    else:
        encoder = model.encoder
        compile_forward(model)
    found, failed = [], []
    for index, file in enumerate(files):
        try:
            clip = read_clip(file, encoder.position_shape[0], encoder.image_size)[None]
        except VideoError as error:
            failed.append((str(file), error.reason(file)))
        else:
            if isinstance(model, VideoPrismLvT):
                scores = zero_shot.zero_shot_scores(embed_clips(model, clip), vectors)
                found.append((str(file), softmax(scores / TEMPERATURE)[0]))
            else:
                logits = np.asarray(model.predict_on_batch(clip), "float32")
                found.append((str(file), softmax(logits)[0]))
        if progress is not None:
            progress(index + 1, len(files))
    return found, failed


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of one class each, [..., C], in the dtype of the logits."""
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)
