"""Small examples in each data set's own format, made by hand."""

import json
from pathlib import Path

import pytest

from keras_videoprism.data import annotations


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_kinetics(tmp_path):
    file = write(
        tmp_path / "val.csv",
        "label,youtube_id,time_start,time_end,split,is_cc\n"
        "washing feet,abc,4,14,val,0\nabseiling,x-y,101,111,val,0\n",
    )
    first, second = annotations.kinetics(file, "k400")
    assert first.path == Path("k400/washing feet/abc_000004_000014.mp4")
    assert (first.labels, second.labels) == ((1,), (0,))  # sorted names
    assert annotations.kinetics(file, "k400", ["washing feet", "abseiling"])[0].labels == (0,)
    test = write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\nabc,4,14,test\n")
    (row,) = annotations.kinetics(test, "k400")
    assert row.name == "abc_000004_000014.mp4" and row.labels == ()
    with pytest.raises(ValueError, match="entry 1: no value 'washing feet'"):
        annotations.kinetics(file, "k400", ["abseiling"])


def test_ssv2(tmp_path):
    labels = write(
        tmp_path / "labels.json",
        {"Approaching something with your camera": "0", "Holding something next to something": "7"},
    )
    entry = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    (row,) = annotations.ssv2(write(tmp_path / "train.json", [entry]), labels, "ssv2")
    assert row.name == "78687.webm" and row.labels == (7,) and row.captions == (entry["label"],)
    (row,) = annotations.ssv2(write(tmp_path / "test.json", [{"id": "5"}]), labels, "ssv2")
    assert row.name == "5.webm" and row.labels == ()


PROMPT = """The user asks.
Human: Does this video entail the description: ""{}""?
AI: """


def subset_line(video, template, match):
    return f'videos/{video}.avi,"{PROMPT.format(template)}",{match}\n'


def test_ssv2_subset(tmp_path):
    cover, drop = "Uncovering [something]", "Lifting up one end of [something], then dropping it"
    lines = [
        subset_line(7, cover, 1),
        subset_line(7, drop, 0),
        subset_line(9, cover, 0),
        subset_line(9, drop, 1),
    ]
    file = write(tmp_path / "temporal.csv", "videopath,caption,match\n" + "".join(lines))
    first, second = annotations.ssv2_subset(file, "ssv2")
    assert first.name == "7.webm" and first.captions == ("Uncovering something",)
    assert first.labels == (1,)  # sorted names
    assert second.labels == (0,) and second.name == "9.webm"
    for line in (subset_line(7, cover, 2), "videos/7.avi,Uncovering,1\n", "videos/7.avi\n"):
        file = write(tmp_path / "temporal.csv", "videopath,caption,match\n" + lines[0] + line)
        with pytest.raises(ValueError, match="temporal.csv, entry 2: "):
            annotations.ssv2_subset(file, "ssv2")


def test_moments(tmp_path):
    categories = write(tmp_path / "categories.txt", "adult+female+speaking,0\nblocking,3\n")
    file = write(tmp_path / "train.csv", "blocking/getty-1.mp4,blocking,3,0\n")
    (row,) = annotations.moments(file, categories, "mit")
    assert row.name == "blocking/getty-1.mp4" and row.labels == (3,)


def test_diving48(tmp_path):
    entry = {"vid_name": "_8Vy3dlHg2w_00000", "label": 12, "start_frame": 0, "end_frame": 158}
    (row,) = annotations.diving48(write(tmp_path / "train.json", [entry]), "d48")
    assert row.name == "_8Vy3dlHg2w_00000.mp4" and row.labels == (12,) and row.end is None


def test_charades(tmp_path):
    header = (
        "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length"
    )
    file = write(
        tmp_path / "train.csv",
        f'{header}\n46GP8,HR43,Kitchen,6,7,Yes,"A, b.",food,"One eats.;Two, too.",'
        "c092 11.90 21.20;c147 0.00 12.60;c092 1 2,24.8\nX,H,K,6,7,Yes,s,o,One.,,3\n",
    )
    first, second = annotations.charades(file, "charades")
    assert first.labels == (92, 147) and first.captions == ("One eats.", "Two, too.")
    assert second.labels == () and second.name == "X.mp4"


def test_activitynet_actions(tmp_path):
    content = {
        "version": "1.3",
        "taxonomy": [],
        "database": {
            "a": {
                "subset": "training",
                "annotations": [
                    {"segment": [1.5, 9.0], "label": "Surfing"},
                    {"segment": [0, 1], "label": "Ballet"},
                ],
            },
            "b": {"subset": "testing", "annotations": []},
        },
    }
    file = write(tmp_path / "anet.json", content)
    first, second = annotations.activitynet_actions(file, "anet")
    assert first.name == "v_a.mp4" and (first.start, first.end, first.labels) == (1.5, 9.0, (1,))
    assert second.labels == (0,)
    with pytest.raises(ValueError, match="no clip"):
        annotations.activitynet_actions(file, "anet", "testing")
    file = write(tmp_path / "anet.json", {"version": "1.3"})
    with pytest.raises(ValueError, match="anet.json: no 'database' in it"):
        annotations.activitynet_actions(file, "anet")
