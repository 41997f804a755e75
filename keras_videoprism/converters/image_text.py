"""Weights of image-text models as a start for the spatial encoder and the text tower.

The sources are KerasHub's CLIP, SigLIP and ViT (Appendix I.2 takes CLIP as the spatial encoder).
"""

from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import keras
import keras_hub
import numpy as np
from keras import ops

from keras_videoprism.layers.position_embedding import resize_weights
from keras_videoprism.layers.text_encoder import TextEncoder
from keras_videoprism.layers.transformer import LAYER_NORM_EPSILON, Transformer
from keras_videoprism.models.video_prism import VideoPrism
from keras_videoprism.models.video_prism_lvt import VideoPrismLvT

SOURCES = {
    "CLIPBackbone": keras_hub.models.CLIPBackbone,
    "SigLIPBackbone": keras_hub.models.SigLIPBackbone,
    "ViTBackbone": keras_hub.models.ViTBackbone,
}
# Mean and deviation of the pixels in [0, 1] with which the released models were trained.
_CLIP_PIXELS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HALF = (0.5, 0.5, 0.5)
PIXELS = {
    "CLIPBackbone": _CLIP_PIXELS,
    "SigLIPBackbone": (_HALF, _HALF),
    "ViTBackbone": (_HALF, _HALF),
}
# Layer of our block -> KerasHub's.
_BLOCKS = {
    "CLIPBackbone": {
        "attention_norm": "layer_norm_1",
        "attention": "attention",
        "mlp_norm": "layer_norm_2",
        "mlp_hidden": "dense_1",
        "mlp_output": "dense_2",
    },
    "SigLIPBackbone": {
        "attention_norm": "layer_norm1",
        "attention": "self_attn",
        "mlp_norm": "layer_norm2",
        "mlp_hidden": "mlp.fc1",
        "mlp_output": "mlp.fc2",
    },
    "ViTBackbone": {
        "attention_norm": "layer_norm_1",
        "attention": "mha",
        "mlp_norm": "layer_norm_2",
        "mlp_hidden": "mlp.dense_1",
        "mlp_output": "mlp.dense_2",
    },
}
_ATTENTION = {
    "query": "query_dense",
    "key": "key_dense",
    "value": "value_dense",
    "output_projection": "output_dense",
}
_DENSE, _NORM = ("kernel", "bias"), ("gamma", "beta")


class Copy(NamedTuple):
    """A variable of ours, its new value, and the variable of the source that it comes from."""

    ours: keras.Variable
    value: np.ndarray
    theirs: keras.Variable | None


class NotCovered(NamedTuple):
    """What an initialisation leaves out.

    ours: paths of our variables that keep their values. theirs: paths of the source's variables
    that have no place here. differences: sentences; where the two still compute otherwise.
    """

    ours: list[str]
    theirs: list[str]
    differences: list[str]

    def lines(self) -> list[str]:
        """The same for people: variables by layer."""
        ours, theirs = (", ".join(_by_layer(paths)) or "none" for paths in self[:2])
        return [f"not initialised: {ours}", f"not used: {theirs}", *self.differences]


class Tower(NamedTuple):
    """A Transformer of a source: its blocks, the LayerNorm after them, and their layers' names."""

    blocks: list[keras.layers.Layer]
    norm: keras.layers.Layer
    names: dict[str, str]


def initialize(
    model: VideoPrism | VideoPrismLvT,
    source: str | Path | keras.Model,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> NotCovered:
    """Start a model from an image-text model: what fits is copied, the rest is listed.

    The spatial encoder takes the source's image tower; of two `VideoPrismLvT` towers, the text
    tower takes the source's text tower where width, heads and MLP agree. Where the numbers of
    layers differ, the first ones are copied.

    Patch kernels are resized so that a patch gives what the source gives for it when it is resized
    bilinearly to the source's patch; hence a constant image keeps its response. Position tables are
    resized bilinearly to our native grid, without the entry of a class token. The source's
    normalisation of pixels becomes part of patch kernel and bias, since our pixels are in [0, 1].

    Args:
        model: changed in place.
        source: KerasHub's `CLIPBackbone`, `SigLIPBackbone` or `ViTBackbone`, or a name, address or
            folder of one, as `keras_hub.models.Backbone.from_preset` takes it.
        mean, std: of the source's pixels in [0, 1], one number for each channel. Default: what the
            preset's image converter says, else what the released models of its class use.

    Raises:
        ValueError: another class, a width, number of heads or MLP width of the image tower that
            differs, or values that are not finite; nothing is assigned then.
    """
    if isinstance(source, str | Path):
        if mean is None and std is None:
            mean, std = pixels_of_preset(source)
        source = keras_hub.models.Backbone.from_preset(str(source))
    kind = _kind(source)
    mean, std = mean or PIXELS[kind][0], std or PIXELS[kind][1]
    encoder = model.video_encoder if isinstance(model, VideoPrismLvT) else model
    image_tower = _image_tower(source, kind)
    _check_sizes(encoder.encoder.spatial_encoder, image_tower)
    copies = list(_image_copies(encoder, source, image_tower, mean, std))
    differences = list(_image_differences(source, kind, encoder))
    if isinstance(model, VideoPrismLvT) and kind != "ViTBackbone":
        more, told = _text_copies(model.text_encoder, source.text_encoder, kind)
        copies, differences = copies + more, differences + told
    _assign(copies)
    done = {id(variable) for copy in copies for variable in (copy.ours, copy.theirs)}
    floats = [variable for variable in source.weights if "int" not in variable.dtype]
    ours, theirs = (
        [variable.path for variable in variables if id(variable) not in done]
        for variables in (model.weights, floats)
    )
    return NotCovered(ours, theirs, differences)


def freeze_spatial(encoder: VideoPrism) -> None:
    """Let training leave alone what `initialize` copies: patches, positions, spatial encoder."""
    layers = encoder.encoder
    for layer in (
        layers.patch_embedding,
        layers.spatial_position,
        layers.spatial_encoder,
        layers.spatial_norm,
    ):
        layer.trainable = False


def pixels_of_preset(
    preset: str | Path,
) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """Mean and deviation of pixels in [0, 1] that a preset's image converter subtracts and divides
    by; (None, None) without converter."""
    try:
        converter = keras_hub.layers.ImageConverter.from_preset(str(preset))
    except FileNotFoundError:
        return None, None
    scale = 1.0 if converter.scale is None else converter.scale  # of pixels in [0, 255]
    offset = 0.0 if converter.offset is None else converter.offset
    scale, offset = (np.broadcast_to(np.array(value, float), 3) for value in (scale, offset))
    return (-offset / (255.0 * scale)).tolist(), (1.0 / (255.0 * scale)).tolist()


def _kind(source: keras.Model) -> str:
    for name, cls in SOURCES.items():
        if isinstance(source, cls):
            return name
    raise ValueError(
        f"the source must be one of KerasHub's {sorted(SOURCES)}; received {type(source).__name__}."
    )


def _image_tower(source: keras.Model, kind: str) -> Tower:
    if kind == "ViTBackbone":
        encoder = source.get_layer("vit_encoder")
        return Tower(encoder.encoder_layers, encoder.layer_norm, _BLOCKS[kind])
    encoder = source.vision_encoder
    norm = encoder.layer_norm if kind == "CLIPBackbone" else encoder.post_layer_norm
    return Tower(encoder.encoder_layers, norm, _BLOCKS[kind])


def _text_tower(encoder: keras.Model, kind: str) -> Tower:
    norm = encoder.layer_norm if kind == "CLIPBackbone" else encoder.post_layer_norm
    return Tower(encoder.encoder_layers, norm, _BLOCKS[kind])


def _differing_sizes(ours: Transformer, theirs: Tower) -> list[str]:
    """One sentence for each size in which two Transformers differ."""
    block = theirs.blocks[0]
    attention, hidden = (
        attrgetter(theirs.names[name])(block) for name in ("attention", "mlp_hidden")
    )
    sizes = {
        "width": (ours.blocks[0].attention_norm.gamma.shape[0], theirs.norm.gamma.shape[0]),
        "attention heads": (ours.blocks[0].attention.num_heads, attention.num_heads),
        "MLP width": (ours.blocks[0].mlp_hidden.units, hidden.units),
    }
    return [f"{name}: {a} here, {b} in the source" for name, (a, b) in sizes.items() if a != b]


def _check_sizes(ours: Transformer, theirs: Tower) -> None:
    problems = _differing_sizes(ours, theirs)
    if problems:
        raise ValueError(
            "the image tower of the source does not fit the spatial encoder:\n  "
            + "\n  ".join(problems)
            + "\nBuild a model of the source's size, or choose another source."
        )


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(variable, "float32"))


def _layer_copies(
    ours: keras.layers.Layer, theirs: keras.layers.Layer, names: tuple[str, str]
) -> Iterator[Copy]:
    """Of two variables; a bias that the source lacks is zero."""
    for name in names:
        variable, other = getattr(ours, name), getattr(theirs, name)
        value = np.zeros(variable.shape) if other is None else _array(other)
        yield Copy(variable, value.reshape(variable.shape), other)  # theirs: heads on an axis


def _tower_copies(ours: Transformer, norm: keras.layers.Layer, theirs: Tower) -> Iterator[Copy]:
    """Of the first blocks, and of the LayerNorm after the last."""
    for block, other in zip(ours.blocks, theirs.blocks, strict=False):
        layer = {name: attrgetter(path)(other) for name, path in theirs.names.items()}
        for name in ("attention_norm", "mlp_norm"):
            yield from _layer_copies(getattr(block, name), layer[name], _NORM)
        for name in ("mlp_hidden", "mlp_output"):
            yield from _layer_copies(getattr(block, name), layer[name], _DENSE)
        for name, path in _ATTENTION.items():
            part = getattr(layer["attention"], path)
            yield from _layer_copies(getattr(block.attention, name), part, _DENSE)
    yield from _layer_copies(norm, theirs.norm, _NORM)


def _image_copies(
    encoder: VideoPrism,
    source: keras.Model,
    tower: Tower,
    mean: Sequence[float],
    std: Sequence[float],
) -> Iterator[Copy]:
    ours, theirs = encoder.encoder, _embedding(source)
    projection, patches = ours.patch_embedding.projection, theirs.patch_embedding
    bias = 0.0 if patches.bias is None else _array(patches.bias)
    kernel = resize_kernel(_array(patches.kernel), encoder.patch_size)
    kernel, bias = fold_pixels(kernel, bias, mean, std)
    yield Copy(projection.kernel, kernel.reshape(projection.kernel.shape), patches.kernel)
    yield Copy(projection.bias, bias, patches.bias)
    grid = np.broadcast_to(theirs.image_size, 2) // patches.kernel.shape[:2]
    rows, table = theirs.position_embedding.embeddings, ours.spatial_position.table
    value = _array(rows)[ops.convert_to_numpy(theirs.position_ids)[0]]
    value = value[-np.prod(grid) :].reshape(*grid, -1)  # a class token comes first
    value = resize_table(value, encoder.position_shape[1:])
    yield Copy(table, value.reshape(table.shape), rows)
    yield from _tower_copies(ours.spatial_encoder, ours.spatial_norm, tower)


def _embedding(source: keras.Model) -> keras.layers.Layer:
    if hasattr(source, "vision_encoder"):
        return source.vision_encoder.embedding
    return source.get_layer("vit_patching_and_embedding")


def resize_kernel(kernel: np.ndarray, patch_size: int) -> np.ndarray:
    """Kernel [P', P', 3, D] -> [P, P, 3, D]: its product with a patch of ours is that of `kernel`
    with the patch resized bilinearly to P' pixels."""
    rows, columns = (_resize_weights(patch_size, size) for size in kernel.shape[:2])  # [P', P]
    return np.einsum("ip,jq,ijcd->pqcd", rows, columns, kernel)


def resize_table(table: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Positions [rows', columns', D] -> [rows, columns, D], as the encoder resizes its own."""
    rows, columns = (_resize_weights(*pair) for pair in zip(table.shape[:2], shape, strict=True))
    return np.einsum("pi,qj,ijd->pqd", rows, columns, table)


def fold_pixels(
    kernel: np.ndarray, bias: np.ndarray | float, mean: Sequence[float], std: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel [P, P, 3, D] and bias of pixels (x - mean) / std -> those of pixels x."""
    kernel = kernel / np.reshape(std, (3, 1))
    return kernel, bias - np.einsum("pqcd,c->d", kernel, np.array(mean, float))


def _resize_weights(source: int, target: int) -> np.ndarray:
    return ops.convert_to_numpy(resize_weights(source, target))


def _text_copies(ours: TextEncoder, theirs: keras.Model, kind: str) -> tuple[list[Copy], list[str]]:
    """Copies, and sentences that tell of differences; no copies of a tower of another size."""
    tower = _text_tower(theirs, kind)
    problems = _differing_sizes(ours.transformer, tower)
    if problems:
        return [], [f"the text tower is not copied: {'; '.join(problems)}"]
    copies = list(_tower_copies(ours.transformer, ours.norm, tower))
    differences = list(_text_differences(theirs, kind))
    tokens = theirs.embedding.token_embedding.embeddings
    if tokens.shape[0] == ours.vocabulary_size:
        # Ours are multiplied by sqrt(D) in the tower.
        value = _array(tokens) / ours.hidden_dim**0.5
        copies.append(Copy(ours.token_embedding.embeddings, value, tokens))
    else:
        differences.append(
            f"the token embedding is not copied: {ours.vocabulary_size} token ids here, "
            f"{tokens.shape[0]} in the source"
        )
    return copies, differences


def _image_differences(source: keras.Model, kind: str, encoder: VideoPrism) -> Iterator[str]:
    tower = getattr(source, "vision_encoder", source)
    ours, theirs = encoder.num_spatial_layers, tower.num_layers
    if ours != theirs:
        yield f"spatial layers: {ours} here, {theirs} in the source; the first are copied"
    activation = getattr(tower, "intermediate_activation", "gelu")
    if activation != "gelu":
        yield f"activation: exact GELU here, {activation} in the image tower of the source"
    blocks, _, names = _image_tower(source, kind)
    epsilon = attrgetter(names["attention_norm"])(blocks[0]).epsilon
    if epsilon != LAYER_NORM_EPSILON:
        yield f"epsilon of LayerNorm: {LAYER_NORM_EPSILON} here, {epsilon} in the source"
    if encoder.logit_cap is not None:
        yield f"attention logits: capped at {encoder.logit_cap} here, not in the source"


def _text_differences(tower: keras.Model, kind: str) -> Iterator[str]:
    yield f"activation: ReLU here, {tower.intermediate_activation} in the text tower of the source"
    yield "text positions: sinusoids here, a learned table in the source"
    yield "text embedding: at a class token here, at the last token in the source"
    if kind == "SigLIPBackbone":
        yield "text attention: causal here, to all tokens in the source"


def _assign(copies: list[Copy]) -> None:
    broken = [copy.ours.path for copy in copies if not np.isfinite(copy.value).all()]
    if broken:
        raise ValueError(f"the source has values that are not finite, for {broken}.")
    for copy in copies:
        copy.ours.assign(copy.value)


def _by_layer(paths: list[str]) -> list[str]:
    """Paths of variables -> those of their blocks, or of their layers; each once."""
    found: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        blocks = [i for i, part in enumerate(parts) if "block_" in part]
        found["/".join(parts[: blocks[0] + 1] if blocks else parts[:-1] or parts)] = None
    return list(found)
