"""Small examples in each data set's own format, made by hand."""

import json

import pytest

from keras_videoprism.data.annotations.files import clip
from keras_videoprism.data.annotations.questions import (
    Question,
    msrvtt_qa,
    msvd_qa,
    nextqa,
    nextqa_open,
    question_rows,
    vqav2,
)

HEADER = "video,frame_count,width,height,question,answer,qid,type"
MULTIPLE = (
    f"\ufeff{HEADER},a0,a1,a2,a3,a4\n"
    "4010069381,369,640,480,how do they help,4,6,CH,clap,cheer,sing,dance,hold up\n"
    '4010069381,369,640,480,"what, at the end",1,9,TN,"sit, rest",fall down,run,eat,wave\n'
)


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_nextqa(tmp_path):
    file = write(tmp_path / "val.csv", MULTIPLE)
    first, second = nextqa(file, "nextqa")
    assert first.row.name == "4010069381.mp4" and first.row.captions == ()
    assert first.question == "how do they help" and first.kind == "CH"
    assert first.answers == ("hold up",)
    assert second.choices == ("sit, rest", "fall down", "run", "eat", "wave")
    assert second.answers == ("fall down",) and second.question == "what, at the end"
    mapping = write(tmp_path / "map_vid_vidorID.json", {"4010069381": "0101/2909445186"})
    assert nextqa(file, "nextqa", mapping=mapping)[0].row.name == "0101/2909445186.mp4"


@pytest.mark.parametrize("numbers", ["1\n", "[1]", "1,"])
def test_nextqa_subset(tmp_path, numbers):
    file = write(tmp_path / "val.csv", MULTIPLE)
    (question,) = nextqa(file, "v", subset=write(tmp_path / "hard.txt", numbers))
    assert question.kind == "TN"


@pytest.mark.parametrize(
    "numbers, error",
    [("2", "needs a number from 0 to 1"), ("0\n-1", "entry 2: needs a number"), ("", "invalid")],
)
def test_nextqa_wrong_subset(tmp_path, numbers, error):
    file = write(tmp_path / "val.csv", MULTIPLE)
    with pytest.raises(ValueError, match=rf"hard\.txt, .*{error}"):
        nextqa(file, "v", subset=write(tmp_path / "hard.txt", numbers))


@pytest.mark.parametrize(
    "old, new, error",
    [
        (",4,6,CH", ",5,6,CH", "needs a number from 0 to 4, has '5'"),
        (",4,6,CH", ",-1,6,CH", "needs a number from 0 to 4, has '-1'"),
        (",4,6,CH", ",hold up,6,CH", "invalid literal"),
        (",dance,hold up", "", "no value 'a3'"),
        ("480,how", "480,x\n4010069381,369,640,480,how", "no value 'a0'"),
        ("\n4010069381", "\n../4010069381", "outside"),
    ],
)
def test_nextqa_wrong_lines(tmp_path, old, new, error):
    file = write(tmp_path / "val.csv", MULTIPLE.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"val\.csv, entry 1: .*{error}"):
        nextqa(file, "nextqa")


def test_nextqa_wrong_files(tmp_path):
    file = write(tmp_path / "val.csv", MULTIPLE)
    with pytest.raises(ValueError, match="val.csv, entry 1: no value '4010069381'"):
        nextqa(file, "v", mapping=write(tmp_path / "map.json", {"1": "0101/1"}))
    with pytest.raises(ValueError, match="map.json: has"):
        nextqa(file, "v", mapping=write(tmp_path / "map.json", ["0101/1"]))
    with pytest.raises(ValueError, match="val.csv, entry 1: no value 'a0'"):
        nextqa(write(tmp_path / "val.csv", f"{HEADER}\n1,9,6,4,who,cat,0,DO\n"), "v")


def test_nextqa_open(tmp_path):
    file = write(
        tmp_path / "test.csv", f"{HEADER}\n5,9,6,4,who,cat,0,DO\n6,9,6,4,how many,2,7,DC\n"
    )
    first, second = nextqa_open(file, "nextqa")
    assert (first.answers, first.choices, first.kind) == (("cat",), (), "DO")
    references = write(tmp_path / "add_reference_answer_test.json", {"6": {"7": "two"}})
    first, second = nextqa_open(file, "nextqa", references=references)
    assert (first.answers, second.answers) == (("cat",), ("2", "two"))


def test_msrvtt_qa(tmp_path):
    entry = {"answer": "couch", "category_id": 14, "id": 1, "question": "what?", "video_id": 6513}
    (question,) = msrvtt_qa(write(tmp_path / "val_qa.json", [entry]), "msrvtt")
    assert question.row.name == "video6513.mp4" and question.answers == ("couch",)
    for wrong, error in (({"video_id": "../1"}, "invalid literal"), ({}, "no value 'video_id'")):
        file = write(tmp_path / "val_qa.json", [entry, wrong])
        with pytest.raises(ValueError, match=f"val_qa.json, entry 2: {error}"):
            msrvtt_qa(file, "msrvtt")
    with pytest.raises(ValueError, match="val_qa.json, entry 1"):
        msrvtt_qa(write(tmp_path / "val_qa.json", {"questions": [entry]}), "msrvtt")


def test_msvd_qa(tmp_path):
    entry = {"answer": "someone", "id": 0, "question": "who plays a piano?", "video_id": 1201}
    file = write(tmp_path / "val_qa.json", [entry])
    mapping = write(tmp_path / "map.txt", "-4wsuPCjDBc_5_15 vid1\n04Gt01vatkk_248_265 vid1201\n\n")
    (question,) = msvd_qa(file, mapping, "msvd")
    assert question.row.name == "04Gt01vatkk_248_265.avi"
    assert question.question == "who plays a piano?" and question.answers == ("someone",)
    with pytest.raises(ValueError, match="map.txt, entry 1"):
        msvd_qa(file, write(tmp_path / "map.txt", "vid1\n"), "msvd")
    with pytest.raises(ValueError, match="val_qa.json, entry 1: no value 'vid1201'"):
        msvd_qa(file, write(tmp_path / "map.txt", "a vid1\n"), "msvd")
    with pytest.raises(ValueError, match="val_qa.json, entry 1: .*outside"):
        msvd_qa(file, write(tmp_path / "map.txt", "../a vid1201\n"), "msvd")


VQA = {"image_id": 458752, "question": "What is this?", "question_id": 458752000}
ANNOTATION = {
    "image_id": 458752,
    "question_id": 458752000,
    "question_type": "what is this",
    "answer_type": "other",
    "multiple_choice_answer": "net",
    "answers": [{"answer": "net", "answer_confidence": "maybe", "answer_id": 1}] * 9
    + [{"answer": "netting", "answer_confidence": "yes", "answer_id": 10}],
}


def vqa(tmp_path, *questions):
    asked = {"data_type": "mscoco", "data_subtype": "train2014", "questions": [VQA, *questions]}
    asked = write(tmp_path / "questions.json", asked)
    return asked, write(tmp_path / "annotations.json", {"annotations": [ANNOTATION]})


def test_vqav2(tmp_path):
    (question,) = vqav2(*vqa(tmp_path), "train2014")
    assert question.row.name == "COCO_train2014_000000458752.jpg" and question.kind == "other"
    assert question.answers == ("net", *["net"] * 9, "netting")
    with pytest.raises(ValueError, match="questions.json, entry 2: no value 7"):
        vqav2(*vqa(tmp_path, {**VQA, "question_id": 7}), "train2014")
    with pytest.raises(ValueError, match="annotations.json, entry 1: no value 'question_id'"):
        file = write(tmp_path / "annotations.json", {"annotations": [{"image_id": 1}]})
        vqav2(tmp_path / "questions.json", file, "train2014")


def test_question_rows():
    """One row a clip, in the paper's form."""
    rows = [clip("v", "a.mp4"), clip("v", "b.mp4")]
    questions = [
        Question(rows[0], "who? ", ("man", "boy")),
        Question(rows[1], "what?", ("run",)),
        Question(rows[0], "where?", (" park ",)),
    ]
    first, second = question_rows(questions)
    assert first.prompts == ("question: who? answer:", "question: where? answer:")
    assert first.captions == ("man", "park") and first._replace(prompts=(), captions=()) == rows[0]
    assert second.captions == ("run",)
    for wrong in (Question(rows[0], " ", ("a",)), Question(rows[0], "who?", ())):
        with pytest.raises(ValueError, match="a.mp4: the question .* or its answer is empty"):
            question_rows([wrong])
