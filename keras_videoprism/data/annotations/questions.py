"""Questions about videos and images (Table 12, Appendix G).

These functions return a `Question` for each, in the order of the file. To evaluate,
`dict.fromkeys(question.row for question in questions)` has each row once; to train a captioner,
`question_rows` has each once with all its questions as prompts.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from keras_videoprism.data.annotations.files import (
    File,
    clip,
    pairs,
    read_csv,
    read_json,
    read_keys,
    read_text,
    rows_of,
)
from keras_videoprism.data.manifest import Row

QUESTION = "question: {} answer:"  # footnote 2 of the paper


class Question(NamedTuple):
    """A question about a clip.

    `answers` are those that count as right, the best first, `choices` the texts to choose from,
    none for open questions; `kind` is the data set's own, such as `CW` (causal, why).
    """

    row: Row
    question: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    kind: str = ""


def nextqa(
    file: File, videos: File, *, mapping: File | None = None, subset: File | None = None
) -> list[Question]:
    """NExT-QA with five choices (Xiao et al., 2021).

    Args:
        file: train.csv, val.csv or test.csv, with the choices a0 to a4 and the number of the right
            one as `answer`.
        videos: has `<video>.mp4`, or the files that `mapping` names.
        mapping: map_vid_vidorID.json, video -> its place, such as `0101/2909445186`.
        subset: atp-hard-ct4.txt, numbers of lines of val.csv, the first being 0: the 2,269
            questions of ATP-Hard (Buch et al., 2022), which a single frame does not answer. That
            it has nothing but numbers could not be checked.
    """
    entries, names = read_csv(file), _names(mapping)
    if subset:
        numbers = re.split(r"[\s,]+", read_text(subset).strip(" ,[]\n"))
        chosen = rows_of(subset, numbers, lambda number: _index(number, len(entries)))
        entries = [entries[index] for index in chosen]

    def question(entry: dict[str, str]) -> Question:
        choices = tuple(entry[f"a{index}"] for index in range(5))
        answer = choices[_index(entry["answer"], 5)]
        row = _video(videos, entry["video"], names)
        return Question(row, entry["question"], (answer,), choices, entry["type"])

    return rows_of(file, entries, question)


def nextqa_open(
    file: File, videos: File, *, mapping: File | None = None, references: File | None = None
) -> list[Question]:
    """NExT-QA with open questions (NExT-OE), scored by WUPS.

    Args:
        file: train.csv, val.csv or test.csv, with the text of the answer.
        videos, mapping: as in `nextqa`.
        references: add_reference_answer_test.json, video -> qid -> a second right answer.
    """
    extra = dict(pairs(references, read_json(references))) if references else {}
    names = _names(mapping)

    def question(entry: dict[str, str]) -> Question:
        second = extra.get(entry["video"], {}).get(entry["qid"])
        answers = (entry["answer"], second) if second else (entry["answer"],)
        row = _video(videos, entry["video"], names)
        return Question(row, entry["question"], answers, kind=entry["type"])

    return rows_of(file, read_csv(file), question)


def _names(mapping: File | None) -> dict[str, str] | None:
    return dict(pairs(mapping, read_json(mapping))) if mapping else None


def _video(videos: File, video: str, names: dict[str, str] | None) -> Row:
    return clip(videos, f"{video if names is None else names[video]}.mp4")


def _index(text: str, length: int) -> int:
    """A number of 0 to length - 1: Python would count negative ones from the end."""
    if not 0 <= int(text) < length:
        raise ValueError(f"needs a number from 0 to {length - 1}, has {text!r}")
    return int(text)


def msrvtt_qa(file: File, videos: File) -> list[Question]:
    """MSRVTT-QA (Xu et al., 2017), answers of one word; videos: `video<video_id>.mp4`.

    Args:
        file: train_qa.json, val_qa.json or test_qa.json.
        videos: the folder of the videos.
    """

    def question(entry: dict) -> Question:
        row = clip(videos, f"video{int(entry['video_id'])}.mp4")
        return Question(row, entry["question"], (entry["answer"],))

    return rows_of(file, read_json(file), question)


def msvd_qa(file: File, mapping: File, videos: File) -> list[Question]:
    """MSVD-QA (Xu et al., 2017), answers of one word.

    Args:
        file: train_qa.json, val_qa.json or test_qa.json.
        mapping: youtube_mapping.txt; lines `<name> vid<video_id>`.
        videos: has `<name>.avi`, such as `-4wsuPCjDBc_5_15.avi`.
    """

    def name_of(line: str) -> tuple[str, str]:
        name, video = line.split()
        return video, name

    lines = [line for line in read_text(mapping).splitlines() if line.strip()]
    names = dict(rows_of(mapping, lines, name_of))

    def question(entry: dict) -> Question:
        name = names[f"vid{entry['video_id']}"]
        row = clip(videos, f"{name}.avi")
        return Question(row, entry["question"], (entry["answer"],))

    return rows_of(file, read_json(file), question)


def vqav2(questions: File, annotations: File, images: File) -> list[Question]:
    """VQAv2 (Goyal et al., 2017): questions about images of COCO, as clips of one frame.

    The first of the `answers` is the most frequent one; the ten that people gave follow, which the
    data set's own accuracy counts. The kind is `yes/no`, `number` or `other`.

    Args:
        questions: v2_OpenEnded_mscoco_train2014_questions.json, or that of val2014.
        annotations: v2_mscoco_train2014_annotations.json, or that of val2014.
        images: has `COCO_train2014_<image id>.jpg`, the id in twelve digits.
    """
    entries, part = read_keys(questions, "questions", "data_subtype")
    (annotated,) = read_keys(annotations, "annotations")
    found = dict(rows_of(annotations, annotated, lambda entry: (entry["question_id"], entry)))

    def question(entry: dict) -> Question:
        annotation = found[entry["question_id"]]
        given = (answer["answer"] for answer in annotation["answers"])
        answers = (annotation["multiple_choice_answer"], *given)
        row = clip(images, f"COCO_{part}_{entry['image_id']:012d}.jpg")
        return Question(row, entry["question"], answers, kind=annotation["answer_type"])

    return rows_of(questions, entries, question)


def question_rows(questions: Iterable[Question]) -> list[Row]:
    """Each row of the questions once, with them as prompts and their first answers as captions.

    Raises:
        ValueError: a question or its answer is empty.
    """
    pairs_of: dict[Row, list[tuple[str, str]]] = {}
    for row, question, answers, *_ in questions:
        answer = answers[0].strip() if answers else ""
        if not question.strip() or not answer:
            raise ValueError(f"{row.name}: the question {question!r} or its answer is empty")
        pairs_of.setdefault(row, []).append((QUESTION.format(question.strip()), answer))
    rows = []
    for row, found in pairs_of.items():
        prompts, captions = zip(*found, strict=True)
        rows.append(row._replace(prompts=prompts, captions=captions))
    return rows
