"""A preset folder -> Kaggle Models or the Hugging Face hub, with a model card."""

import json
import re
from pathlib import Path

import huggingface_hub
import kagglehub
import keras

from keras_videoprism import presets
from keras_videoprism.data.atomic import atomic_path

CARD = "README.md"
# Kaggle names licences otherwise than the identifiers of SPDX, which the Hugging Face hub takes.
KAGGLE_LICENCES = {
    "apache-2.0": "Apache 2.0",
    "mit": "MIT",
    "cc-by-4.0": "Attribution 4.0 International (CC BY 4.0)",
    "cc-by-nc-4.0": "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
    "cc0-1.0": "CC0: Public Domain",
}
_USE = {
    "VideoPrism": "tokens = model(videos)  # [B, T, H, W, 3] in [0, 1] -> [B, T*N, D]",
    "VideoPrismLvT": "embeddings = model.encode_video(videos)  # [B, T, H, W, 3] in [0, 1]",
    "VideoClassifier": "logits = model(videos)  # [B, T, H, W, 3] in [0, 1] -> [B, classes]",
}
_ADDRESS = re.compile(r"kaggle://[\w-]+/[\w-]+/keras/[\w.-]+|hf://[\w.-]+/[\w.-]+")


def publish(
    folder: str | Path,
    address: str,
    licence: str,
    training_data: str,
    metrics: dict[str, float] | None = None,
    dry_run: bool = False,
) -> str:
    """Check a preset, write its model card into the folder and upload it.

    Args:
        folder: preset folder of this package.
        address: `kaggle://owner/model/keras/variant` or `hf://owner/model`.
        licence: SPDX identifier, such as "apache-2.0".
        training_data: a sentence: what it was trained on.
        metrics: name -> what was measured.
        dry_run: True does all but the upload.

    Returns:
        The text of the card.

    Raises:
        ValueError: no licence or training data, a wrong address, or a preset that does not load.
        OSError: the hub cannot be reached or refuses.
    """
    if not licence.strip() or not training_data.strip():
        raise ValueError(
            "a published model needs a licence and a sentence about its training data."
        )
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            "the address must be kaggle://owner/model/keras/variant or hf://owner/model, received "
            f"{address!r}."
        )
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is no folder.")
    card = model_card(presets.load(folder), address, licence, training_data, metrics or {})
    with atomic_path(Path(folder) / CARD) as temporary:
        temporary.write_text(card, encoding="utf-8")
    if not dry_run:
        _upload(Path(folder), address, licence)
    return card


def model_card(
    model: keras.Model, address: str, licence: str, training_data: str, metrics: dict[str, float]
) -> str:
    """Markdown with the header that the Hugging Face hub reads."""
    name, cls = address.rsplit("/", 1)[-1], type(model).__name__
    config = {
        key: value
        for key, value in model.get_config().items()
        if key not in ("name", "trainable", "dtype", "encoder")
    }
    lines = [
        "---",
        f"license: {json.dumps(licence)}",
        "library_name: keras-videoprism",
        "tags: [keras, videoprism, video]",
        "---",
        f"# {name}",
        "",
        f"A `{cls}` of {model.count_params():,} parameters, the video encoder of VideoPrism "
        "([arXiv 2402.13217](https://arxiv.org/abs/2402.13217)) in Keras 3, made with "
        "`keras-videoprism`.",
        "",
        "## Use",
        "",
        "```python",
        "import keras_videoprism as kvp",
        "",
        f'model = kvp.{cls}.from_preset("{address}")',
        _USE[cls],
        "```",
        "",
        "## Training data",
        "",
        training_data,
        "",
        "## Configuration",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in config.items()),
        "",
        "## Measured",
        "",
        *([f"- {name}: {value:.4g}" for name, value in metrics.items()] or ["Nothing."]),
        "",
        "## Licence",
        "",
        licence,
        "",
    ]
    return "\n".join(lines)


def _upload(folder: Path, address: str, licence: str) -> None:
    """By the hubs' own clients: `keras_hub.upload_preset` knows no licence and hides our card."""
    if address.startswith("kaggle://"):
        name = KAGGLE_LICENCES.get(licence.lower(), licence)
        kagglehub.model_upload(address.removeprefix("kaggle://"), str(folder), license_name=name)
        return
    repository = address.removeprefix("hf://")
    huggingface_hub.create_repo(repository, exist_ok=True)
    huggingface_hub.upload_folder(repo_id=repository, folder_path=str(folder))
