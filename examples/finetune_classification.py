"""Fine-tune a video classifier on your own videos.

    python examples/finetune_classification.py --train videos/train --test videos/test \\
        --preset videoprism_b

A folder has a captions.csv with the columns `path` and `label`, class ids from 0; several ids with
spaces between them make a multi-label task. A CSV file may stand for its folder. Without --train a
small corpus is rendered. By default the encoder is frozen and a MAP head learns; --tune lora adds
low-rank adapters to its attention, --tune full trains all.
"""

import argparse
from pathlib import Path

import keras

from keras_videoprism import VideoClassifier, presets
from keras_videoprism.data import read_manifest, read_records, write_records
from keras_videoprism.data.demo_corpus import render_demo_corpus


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--preset", default="videoprism_tiny")
    parser.add_argument("--tune", choices=("frozen", "lora", "full"), default="frozen")
    parser.add_argument("--rank", type=int, default=4, help="of the adapters of --tune lora")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--output", type=Path, default=Path("finetuned"))
    options = parser.parse_args()
    if options.train is None:
        render_demo_corpus("corpus", num_clips=128, num_stills=1, num_test=32)
        options.train, options.test = Path("corpus/curated"), Path("corpus/test")

    labels = [row.labels for row in read_manifest(options.train)]
    num_classes = 1 + max(label for of_clip in labels for label in of_clip)
    multi_label = any(len(of_clip) > 1 for of_clip in labels)

    model = VideoClassifier.from_preset(
        options.preset, num_classes, freeze_encoder=options.tune == "frozen"
    )
    if options.tune == "lora":
        model.encoder.enable_lora(options.rank)
    frames, size = model.encoder.position_shape[0], model.encoder.image_size

    def batches(folder: Path, name: str, shuffle: bool):
        records = Path("records") / name
        if not records.exists():
            report = write_records(read_manifest(folder), records, short_side=max(size))
            print(f"{name}: {report.written} clips; skipped {report.skipped}")
        dataset = read_records(
            records,
            batch_size=options.batch_size,
            num_frames=frames,
            image_size=size,
            num_classes=num_classes if multi_label else None,
            shuffle=shuffle,
            drop_remainder=shuffle,
        )
        return dataset.map(lambda batch: (batch["videos"], batch["labels"]))

    if multi_label:
        loss: keras.Loss = keras.losses.BinaryCrossentropy(from_logits=True)
        metric = keras.metrics.AUC(curve="PR", from_logits=True, multi_label=True, name="map")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    model.compile(keras.optimizers.AdamW(options.learning_rate), loss, metrics=[metric])
    model.fit(
        batches(options.train, "train", shuffle=True),
        validation_data=batches(options.test, "test", shuffle=False),
        epochs=options.epochs,
    )
    presets.save(model, options.output)
    print(f"Saved: VideoClassifier.from_preset({str(options.output)!r})")


if __name__ == "__main__":
    main()
