"""Texts: files and lines of any making, told into tokens, and a vocabulary that knows what a run is trained on."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import Data, describe, prepare, split
from pipeline.data.sentences import sentences
from pipeline.data.texts import MOST_BYTES, Known, Numbers, example, in_words, tokens
from pipeline.data.vocabulary import packed, unpacked
from pipeline.errors import InputError

GOOD = ["a fine film .", "Lovely!", "it's great", "not bad , not bad at all"]
BAD = ["dull .", "a waste of time", "never again", "so bad ."]


def settings(root: Path, source: str = "text_folder", **fields: object) -> Data:
    keys = {"size": 8, "vocabulary": 50, "prepared_dir": str(root.parent / "prepared"), **fields}
    return Data(source=source, name="told", root=str(root), **keys)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two files of five times four lines."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, said in (("good", GOOD), ("bad", BAD)):
        lines = [f"{text} {i}" for i in range(5) for text in said]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


# ---- tokens


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It's GREAT, isn't it?", ["it", "'s", "great", ",", "isn", "'t", "it", "?"]),
        ("naïve cafe\u0301 42nd", ["naïve", "café", "42nd"]),
        ("snake_case ... 'so'", ["snake", "_", "case", ".", ".", ".", "'so", "'"]),
        ("bell\x07 rings\tand\x00on", ["bell", "rings", "and", "on"]),
        ("好电影 とても good", ["好", "电", "影", "と", "て", "も", "good"]),
        ("It\u2019s \u2018so\u2019", ["it", "'s", "\u2018", "so", "'"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("がが", ["が", "が"]),
        ("می\u200cخواهم क्\u200dया", ["می\u200cخواهم", "क्\u200dया"]),
        ("ﾊﾝ soft\xadly", ["ﾊ", "ﾝ", "softly"]),
        ("İstanbul", ["i\u0307stanbul"]),
        (" \n", []),
    ],
)
def test_words_by_hand(text, found):
    assert list(tokens(text, "words")) == found


def test_characters_by_hand():
    assert "".join(tokens(" No \t GO\n", "characters")) == "no go"


@given(st.text(max_size=60), st.sampled_from(["words", "characters"]))
def test_tokens_hold_every_sign_that_is_no_space(text, how):
    found = list(tokens(text, how))
    assert all(found)
    assert found == list(tokens(" ".join(found) if how == "words" else "".join(found), how)) or how == "words"
    assert all(not c.isspace() for one in found for c in one if how == "words")


def test_places_are_filled_up_and_cut():
    config, numbers = Data(source="sentences", size=4), Numbers()
    short, long = (example(text, config, numbers) for text in ("a b", "b c d e a"))
    assert short.image.ravel().tolist() == [1, 2, 0, 0]
    assert (long.image.ravel().tolist(), long.width) == ([2, 3, 4, 5], 5)
    assert numbers.words == ["a", "b", "c", "d", "e"]
    assert example("a z", config, Known(["a"])).image.ravel().tolist() == [2, 1, 0, 0]


@given(st.lists(st.text(min_size=1), max_size=20))
def test_a_vocabulary_is_packed_and_unpacked(words):
    assert unpacked(packed(words)) == words


# ---- a run's vocabulary


def test_what_only_the_test_part_says_is_unknown(root):
    with (root / "good.txt").open("a") as file:
        file.write("".join(f"only{i}\n" for i in range(20)))
    for seed in range(3):
        config = settings(root, folds=4, vocabulary=200)
        prepared = prepare(config, seed)
        parts = split(prepared, config, seed)
        known = {word for i in parts["train"] for word in in_words(prepared, i).split()}
        assert set(prepared.words) == known - {"□"}
        for name in ("val", "test"):
            shown = [in_words(prepared, i) for i in parts[name]]
            assert any(text == "□" for text in shown)  # a text of one word that nobody was trained on
            assert {word for text in shown for word in text.split()} <= known | {"□"}


def test_the_most_frequent_words_are_kept_and_ties_go_by_name(root):
    config = settings(root, vocabulary=4)
    prepared = prepare(config, 0)
    whole = prepare(settings(root, vocabulary=500), 0)
    train = split(whole, config, 0)["train"]
    counts: dict[str, int] = {}
    for i in train:
        for word in in_words(whole, i).split():
            counts[word] = counts.get(word, 0) + 1
    assert prepared.words == sorted(counts, key=lambda word: (-counts[word], word))[:2]
    assert prepared.input_shape == (4, 1, 8)
    assert prepared.images.max() == 3
    assert prepared.digest == whole.digest  # what is prepared is the same


# ---- files


def test_lines_of_files_are_texts(root):
    prepared = prepare(settings(root), 0)
    assert prepared.classes == ["bad", "good"]
    assert prepared.images.shape == (40, 1, 8, 1)
    assert prepared.images.dtype == np.int32
    assert prepared.paths[:2] == ["bad.txt:1", "bad.txt:2"]


def test_files_that_differ_by_their_endings(tmp_path):
    root = tmp_path / "rt"
    root.mkdir()
    for ending, said in (("pos", GOOD), ("neg", BAD)):
        (root / f"rt-polarity.{ending}").write_text("\n".join(said * 3))
    assert prepare(settings(root), 0).classes == ["neg", "pos"]


def test_a_file_about_the_set_is_no_class(tmp_path):
    """As a third one it had made one class of the two others."""
    root = tmp_path / "rt"
    root.mkdir()
    for name, said in (("rt.pos", GOOD), ("rt.neg", BAD), ("README.1.0.txt", ["about"]), (".keep", [""])):
        (root / name).write_text("\n".join(said * 3))
    prepared = prepare(settings(root), 0)
    assert prepared.classes == ["neg", "pos"]
    assert [one["path"] for one in prepared.manifest["quarantined"]] == [".keep", "README.1.0.txt"]


def test_a_row_with_too_long_a_text_is_put_aside_and_a_long_one_kept(tmp_path):
    root = tmp_path / "table"
    root.mkdir()
    rows = [f'"{said}",{name}' for name, of in (("good", GOOD), ("bad", BAD)) for said in of]
    (root / "said.csv").write_text("\n".join(["text,label", "x " * 600_000 + ",good", "y " * 200_000 + ",bad", *rows]))
    config = settings(root, source="text_manifest", manifest="said.csv")
    prepared = prepare(config, 0)
    assert [one["path"] for one in prepared.manifest["quarantined"]] == ["said.csv:2"]
    assert len(prepared.labels) == len(rows) + 1


def test_documents_in_folders_with_a_split(tmp_path):
    root = tmp_path / "documents"
    for part in ("train", "test"):
        for name, said in (("good", GOOD), ("bad", BAD)):
            (root / part / name).mkdir(parents=True)
            for i in range(12):
                (root / part / name / f"{i}.txt").write_text(f"{said[i % 4]}\nand more, {part} {i}")
    prepared = prepare(settings(root), 0)
    assert np.bincount(prepared.own_split).tolist() == [24, 0, 24]
    assert "test" not in prepared.words


def test_a_table_with_other_names_and_authors(tmp_path):
    rows = [f'"{GOOD[i % 4] if i % 2 else BAD[i % 4]}, {i}",{i % 2},writer {i // 4}' for i in range(40)]
    (tmp_path / "texts.csv").write_text("Review,Stars,author\n" + "\n".join(rows) + "\n,1,x\nno label,,x\n")
    config = settings(
        tmp_path, "text_manifest", size=16, manifest="texts.csv", columns={"text": "Review", "label": "Stars"}
    )
    prepared = prepare(config, 0)
    assert prepared.classes == ["0", "1"]
    assert len(prepared.columns["author"]) == 40
    reasons = {one["path"]: one["reason"] for one in prepared.manifest["quarantined"]}
    assert reasons == {"texts.csv:42": "no text", "texts.csv:43": "no label"}


def test_what_is_no_text_is_put_aside_and_the_rest_kept(root):
    with (root / "good.txt").open("ab") as file:
        file.write(b"\n  \t\ncaf\xe9 in Latin-1\nnul\0byte\n" + b"x" * (MOST_BYTES + 5) + b"\n\xf0\x9f\x99\x82 fine\n")
    (root / "bad.txt").write_bytes(b"\xef\xbb\xbf" + (root / "bad.txt").read_bytes())  # a byte order mark
    prepared = prepare(settings(root), 0)
    assert len(prepared.labels) == 41
    assert in_words(prepared, 0).startswith("dull")
    reasons = {one["path"]: one["reason"] for one in prepared.manifest["quarantined"]}
    assert reasons == {
        "good.txt:21": "an empty line",
        "good.txt:22": "an empty line",
        "good.txt:23": "no text in UTF-8 (byte 0xe9 at 3)",
        "good.txt:24": "no text in UTF-8 (it has NUL bytes, as UTF-16 and binary files have)",
        "good.txt:25": f"more than {MOST_BYTES:,} bytes in a line",
    }


def test_a_document_without_a_word_is_put_aside(tmp_path):
    for i, text in enumerate(["fine", "good", "", " \n", "a word"] * 2):
        path = tmp_path / "docs" / ("good" if i < 5 else "bad") / f"{i}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "docs/good/gone.txt").symlink_to(tmp_path / "nowhere")
    prepared = prepare(settings(tmp_path / "docs"), 0)
    assert len(prepared.labels) == 6
    reasons = {one["path"]: one["reason"] for one in prepared.manifest["quarantined"]}
    assert reasons == {
        "bad/7.txt": "empty",
        "bad/8.txt": "no word in it",
        "good/2.txt": "empty",
        "good/3.txt": "no word in it",
        "good/gone.txt": "a link to nothing",
    }


def test_a_file_that_is_none_of_text_is_named(root):
    (root / "zipped.txt").write_bytes(gzip.compress(b"a text\n" * 50))
    prepared = prepare(settings(root), 0)
    assert prepared.classes == ["bad", "good"]
    assert all(one["path"].startswith("zipped.txt") for one in prepared.manifest["quarantined"])


def test_nothing_outside_the_folder_is_read(root, tmp_path):
    (tmp_path / "secret").write_text("a secret\n" * 20)
    (root / "link.txt").symlink_to(tmp_path / "secret")
    prepared = prepare(settings(root), 0)
    assert "secret" not in prepared.words
    assert {"path": "link.txt", "reason": "a link that leads out of data.root"} in prepared.manifest["quarantined"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"all.txt": "one\ntwo\n"}, "has one file, all.txt. Texts belong in a file or a folder for each class"),
        ({"a.txt": "\xff\n", "b.txt": "\n\n"}, r"not one line can be used \(a.txt:1: no text in UTF-8"),
        ({}, "no class folders, but 0 files"),
    ],
)
def test_a_folder_without_classes_of_text(files, said, tmp_path):
    root = tmp_path / "texts"
    root.mkdir()
    for name, text in files.items():
        (root / name).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=said):
        prepare(settings(root), 0)
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tokens": "syllables"}, r"data\.tokens=syllables"),
        ({"vocabulary": 2}, r"data\.vocabulary=2"),
        ({"size": 1}, r"data\.size=1: is how many tokens"),
        ({"resize": "pad"}, r"data\.resize=pad: is of images"),
        ({"messy": 0.5}, r"data\.messy=0.5: is of images"),
    ],
)
def test_keys_of_texts(fields, said, tmp_path):
    with pytest.raises(InputError, match=said):
        settings(tmp_path, **fields)


# ---- what is shown, what is embedded


def test_the_card_shows_texts_as_text(root):
    with (root / "good.txt").open("a") as file:
        file.write("<script>alert(1)</script> & so on\n" * 5)
    config = settings(root)
    card = describe(prepare(config, 0), config, 0).card.read_text()
    assert "texts in 2 classes, 8 tokens of 50." in card
    assert "&lt; script &gt; alert ( 1 )" in card
    assert "<script>" not in card
    assert "are not (□)" in card


def test_sentences_are_the_same_everywhere_and_mean_what_they_say():
    found = list(sentences())
    assert len(set(found)) == len(found) == 2000
    config = Data(source="sentences", name="sentences", size=24, prepared_dir="unused")
    assert max(len(list(tokens(text, "words"))) for text in found) <= config.size
    for i, text in enumerate(found[:400]):
        assert _liked(text) == bool(i % 2), text


def _liked(text: str) -> bool:
    """By hand: the remark that counts, turned or not."""
    from pipeline.data.sentences import GOOD as PRAISE

    if " but " in text:
        text = text.split(" but ")[1]
    elif " although " in f" {text}":
        before, after = f" {text}".split(" although ", 1)
        text = before if " the " in before else after.split(" , the ", 1)[1]
    words = text.split()
    praised = any(word in PRAISE for word in words)
    return praised != bool({"not", "hardly", "never"} & set(words))
