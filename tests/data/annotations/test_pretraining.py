"""Small examples in each source's own format, made by hand."""

import json

import pytest

from keras_videoprism.data.annotations.pretraining import (
    internvid,
    videocc,
    wts70m,
    youtube_id,
    yt_temporal_180m,
)

ID = "HdYoyz-SWy_"


def write(path, *lines):
    lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


CLIP = {
    "YoutubeID": ID,
    "Start_timestamp": "01:03:10.567",
    "End_timestamp": "01:03:11.200",
    "Caption": "a hand on a keyboard",
    "Aesthetic_Score": 4.6,
    "UMT_Score": 0.4,
}


def test_internvid(tmp_path):
    (row,) = internvid(write(tmp_path / "flt.jsonl", CLIP), "youtube")
    assert row.name == f"{ID}.mp4" and row.captions == ("a hand on a keyboard",)
    assert (row.start, row.end) == pytest.approx((3790.567, 3791.2))


@pytest.mark.parametrize(
    "changes, error",
    [
        ({"YoutubeID": "../../etc/pa"}, "not the id or address"),
        ({"YoutubeID": None}, "NoneType"),
        ({"Start_timestamp": "-0:00:10.0"}, "expected a time such as"),
        ({"Start_timestamp": "00:61:10.0"}, "expected a time such as"),
        ({"Start_timestamp": 3790.5}, "expected string"),
        ({"End_timestamp": "01:03:10.5"}, "0 <= start < end"),
        ({"Caption": None}, "NoneType"),
    ],
)
def test_internvid_wrong_lines(tmp_path, changes, error):
    file = write(tmp_path / "flt.jsonl", CLIP, CLIP | changes)
    with pytest.raises(ValueError, match=rf"flt\.jsonl, entry 2: .*{error}"):
        internvid(file, "youtube")


def test_internvid_wrong_file(tmp_path):
    with pytest.raises(ValueError, match="flt.jsonl, entry 1: no value 'Start_timestamp'"):
        internvid(write(tmp_path / "flt.jsonl", {"YoutubeID": ID}), "youtube")
    with pytest.raises(ValueError, match="flt.jsonl, line 2: not JSON"):
        internvid(write(tmp_path / "flt.jsonl", CLIP, "{"), "youtube")


@pytest.mark.parametrize("header", [[], ["\ufeffVideo URL,Start timestamp,End timestamp,Caption"]])
def test_videocc(tmp_path, header):
    file = write(
        tmp_path / "cc.csv",
        *header,
        f'https://www.youtube.com/watch?v={ID},1500000,11500000,"a ""red"" car, parked"',
        f"{ID},0,10000000,a dog",
    )
    first, second = videocc(file, "youtube")
    assert first.name == second.name == f"{ID}.mp4"
    assert (first.start, first.end) == (1.5, 11.5) and first.captions == ('a "red" car, parked',)
    assert (second.start, second.end) == (0.0, 10.0)


@pytest.mark.parametrize(
    "line, error",
    [
        (f"{ID},-1,10,a dog", "entry 1: needs 0 <= start < end"),
        (f"{ID},10,10,a dog", "entry 1: needs 0 <= start < end"),
        (f"{ID},1.5,10,a dog", "entry 1: invalid literal"),
        (f"{ID},1,10", "entry 1: no value 'caption'"),
        (f"{ID},1,10,a dog, brown", "line 1: more values than the 4 columns"),
        ("https://vimeo.com/1,1,10,a dog", "entry 1: not the id or address"),
        ("url,start,end,caption", "no clip"),
    ],
)
def test_videocc_wrong_lines(tmp_path, line, error):
    with pytest.raises(ValueError, match=rf"cc\.csv.*{error}"):
        videocc(write(tmp_path / "cc.csv", line), "youtube")


def test_wts70m(tmp_path):
    header = "youtube_id,start,end,title,tags"
    file = write(tmp_path / "wts.csv", header, f'{ID},3.5,13.5,"Mixing, slowly","cake;flour"')
    (row,) = wts70m(file, "youtube")
    assert (row.start, row.end) == (3.5, 13.5)
    assert row.captions == ("Mixing, slowly", "cake;flour")
    with pytest.raises(ValueError, match="wts.csv, entry 1: no value 'start'"):
        wts70m(write(tmp_path / "wts.csv", "youtube_id,title", f"{ID},cake"), "youtube")


def video(words, denoised=None, id=ID):
    subtitles = [{"word": word, "time": time} for word, time in words]
    entry = {"info": {"id": id, "title": "x"}, "subtitles": subtitles}
    return entry if denoised is None else entry | {"denoised": denoised}


WORDS = [("cut", 0.0), ("it", 0.5), ("thin", 1.0), ("its", 2.5), ("burning", 3.0), ("wait", 4.5)]


def test_yt_temporal_180m(tmp_path):
    spans = [
        {"noisyasr": "cut it thin its", "cleanasr": "Cut it thin. It's"},
        {"noisyasr": "burning", "cleanasr": "burning!"},
    ]
    file = write(tmp_path / "yt.jsonl", video(WORDS, spans), video(WORDS), video([("hm", 1.0)]))
    first, second, raw = yt_temporal_180m(file, "youtube", min_duration=1.5)
    assert first.name == f"{ID}.mp4" and first.captions == ("Cut it thin.",)
    assert (first.start, first.end) == (0.0, 2.0)
    assert second.captions == ("It's burning!",) and (second.start, second.end) == (2.5, 4.0)
    assert raw.captions == ("cut it thin its burning wait",)  # no punctuation, no pause


@pytest.mark.parametrize(
    "entry, error",
    [
        (video([("a", 2.0), ("b", 1.0)]), "word 2, .* has a wrong time"),
        (video([("a", "1")]), "must be real number|can only concatenate"),
        (video(WORDS, id="../x"), "not the id"),
        ({"info": {"id": ID}}, "no value 'subtitles'"),
        (video(WORDS, [{"noisyasr": "cut"}]), "no value 'cleanasr'"),
    ],
)
def test_yt_temporal_180m_wrong_lines(tmp_path, entry, error):
    with pytest.raises(ValueError, match=rf"yt\.jsonl, entry 2: .*({error})"):
        yt_temporal_180m(write(tmp_path / "yt.jsonl", video(WORDS), entry), "youtube")


def test_yt_temporal_180m_without_speech(tmp_path):
    with pytest.raises(ValueError, match="yt.jsonl: no clip"):
        yt_temporal_180m(write(tmp_path / "yt.jsonl", video([])), "youtube")


def test_youtube_id():
    for text in (ID, f" {ID} ", f"https://youtu.be/{ID}?t=3", f"youtube.com/watch?a=b&v={ID}&t=3"):
        assert youtube_id(text) == ID
    for text in (ID + "x", ID[:-1], f"{ID}/..", "", f"watch?v={ID}x"):
        with pytest.raises(ValueError, match="not the id or address"):
            youtube_id(text)
