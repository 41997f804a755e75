"""Fixtures and helpers that several tests of records share."""

import os

import pytest


@pytest.fixture(scope="session")
def folder(video_folder, tmp_path_factory):
    """Records of `video_folder` in two shards. Not to be written to."""
    from keras_videoprism.data import read_manifest, write_records

    folder = tmp_path_factory.mktemp("records") / "a"
    write_records(read_manifest(video_folder), folder, num_shards=2)
    return folder


@pytest.fixture(scope="session")
def tokenizer(video_folder, tmp_path_factory):
    """A `Tokenizer` of the captions of `video_folder`, and of "one" and "two"."""
    from keras_videoprism.data import read_manifest, train_tokenizer

    texts = [row.captions[0] for row in read_manifest(video_folder)]
    return train_tokenizer([*texts, "one", "two"], 50, tmp_path_factory.mktemp("spm") / "a.spm")


def upload_folder(folder: os.PathLike[str], path: str) -> str:
    """Copies the files of a local folder to a remote one; returns its path."""
    from keras_videoprism.data import remote

    for file in folder.iterdir():
        remote.upload(file, f"{path}/{file.name}")
    return path
