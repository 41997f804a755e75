"""Heads on features that were computed once, by an encoder that does not change."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_videoprism.commands.evaluate.encode import Clips, FrozenModel, Place, encode
from keras_videoprism.commands.evaluate.training import (
    WEIGHTS,
    Examples,
    Score,
    Training,
    num_layers,
    optimizer,
)
from keras_videoprism.commands.features import predict
from keras_videoprism.data.features import Features
from keras_videoprism.data.read import shuffled
from keras_videoprism.heads.adaptation import AdaptedVideoPrism

PREDICT_CLIPS = 16  # in a forward pass of the head


class Head(keras.Model):
    """A head alone, over features that were computed before: [B, ...], or a dict with "tokens"."""

    def __init__(self, head: keras.layers.Layer) -> None:
        super().__init__(name="head")
        self.head = head

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, dict):
            return self.head(inputs)
        others = {name: value for name, value in inputs.items() if name != "tokens"}
        return self.head(inputs["tokens"], **others)


class FeatureBatches(keras.utils.PyDataset):
    """Features of clips and what is to be learned of them, in batches of one size.

    The order is that in which `read_records` gives the clips to a head that is trained on videos;
    those that do not fill the last batch of an epoch are left out.
    """

    def __init__(self, features: Features, examples: Examples, batch_size: int, seed: int) -> None:
        super().__init__()
        self.features, self.examples = features, examples
        self.batch_size = min(batch_size, len(examples.clip_ids))
        self.seed = seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """The order of an epoch. Keras' own `on_epoch_end` is called once more before the first."""
        number = len(self.examples.clip_ids)
        self.order = np.asarray(shuffled(np.arange(number), epoch, self.seed, number))

    def __len__(self) -> int:
        return len(self.examples.clip_ids) // self.batch_size

    def __getitem__(self, index: int) -> tuple:
        rows = self.order[index * self.batch_size :][: self.batch_size]
        part = self.examples.take(rows)
        inputs: Any = self.features.of(part.clip_ids).astype("float32")
        if not part.others:
            return inputs, part.targets.astype("float32")
        weights = part.others[WEIGHTS].astype("float32")
        return {"tokens": inputs, **part.others}, part.targets.astype("float32"), weights


def cache(model: AdaptedVideoPrism, place: Place, part: str, clips: Clips, dtype: str) -> Features:
    """What the head reads of all clips of a part, computed where it is not there yet."""
    tokens = model.encoder.compute_output_shape((1, clips.num_frames, *clips.image_size, 3))[1:]
    layers = num_layers(model.encoder, model.method)
    shape = (layers, *tokens) if model.method == "mlap" else tokens
    name = f"last_{layers}_layers" if model.method == "mlap" else "tokens"
    views = "x".join(map(str, clips.views or ()))
    frozen = FrozenModel(model.encoder, model.features, shape, name)
    folder = place.features / "-".join(filter(None, (part, name, views)))
    return encode(frozen, place.records / part, folder, clips, dtype)


def train_cached(
    make: Callable[[], AdaptedVideoPrism],
    features: Features,
    examples: Examples,
    loss: keras.losses.Loss,
    training: Training,
    score: Score,
) -> tuple[keras.Model, tuple[float, float], list[dict[str, float]]]:
    """A head trained on cached features, by the best of several learning rates and weight decays.

    Args:
        make: gives the encoder with a fresh head.
        features: of the training clips.
        examples: training clips.
        loss: of targets and logits.
        training: see `Training`.
        score: chooses among several pairs, on a tenth of the clips.

    Returns:
        The head, its learning rate and weight decay, and the score of each pair.
    """

    recipe = training.recipe

    def trained(part: Examples, rate: float, decay: float) -> keras.Model:
        keras.utils.set_random_seed(training.seed)
        model = make()
        head = Head(model.head)
        batches = FeatureBatches(features, part, recipe.batch_size, training.seed)
        steps = recipe.epochs * len(batches)
        head.compile(optimizer(model.encoder, training, steps, rate, decay), loss=loss)
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: batches.begin(epoch))
        head.fit(batches, epochs=recipe.epochs, shuffle=False, callbacks=[begin], verbose=2)
        return head

    tried: list[dict[str, float]] = []
    if len(training.pairs) > 1:
        order = np.random.default_rng(training.seed).permutation(len(examples.clip_ids))
        size = max(len(order) // 10, 1)
        kept, held = (examples.take(np.sort(rows)) for rows in (order[size:], order[:size]))
        for rate, decay in training.pairs:
            head = trained(kept, rate, decay)
            value = score(predict_cached(head, features, held), held)
            tried.append({"learning_rate": rate, "weight_decay": decay, "score": value})
    best = max(range(len(tried)), key=lambda i: tried[i]["score"]) if tried else 0
    return trained(examples, *training.pairs[best]), training.pairs[best], tried


def predict_cached(head: keras.Model, features: Features, examples: Examples) -> np.ndarray:
    """Logits [n, ..., C] of features without views, [n, V, ..., C] of those with."""

    def batches() -> Iterator[Any]:
        for start in range(0, len(examples.clip_ids), PREDICT_CLIPS):
            part = examples.take(
                np.arange(start, min(start + PREDICT_CLIPS, len(examples.clip_ids)))
            )
            tokens = features.of(part.clip_ids).astype("float32")
            yield {"tokens": tokens, **part.others} if part.others else tokens

    has_views = bool(features.plan.made_by.get("views"))
    return np.concatenate([predict(head, batch, has_views) for batch in batches()])
