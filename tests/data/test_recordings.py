"""Recordings in folders and manifests: read, or put aside with a reason, the good ones kept."""

import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.data import Data, describe, prepare, recordings
from pipeline.data.mel import edges_hz
from pipeline.data.recordings import middle
from pipeline.data.splitting import split
from pipeline.errors import InputError

RATE = 8000
LOW, HIGH = (edges_hz(RATE, 16)[1 + band] for band in (3, 11))


def tone(hz, seconds=0.5, rate=RATE, loud=0.5):
    return loud * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def save(path, samples, rate=RATE, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)


@pytest.fixture
def root(tmp_path):
    """Two classes of four tones each."""
    for i in range(4):
        save(tmp_path / f"raw/low/{i}.wav", tone(LOW + i))
        save(tmp_path / f"raw/high/{i}.wav", tone(HIGH + i))
    return tmp_path / "raw"


def settings(root, **fields):
    given = {"source": "audio_folder", "name": "sounds", "size": 16, "prepared_dir": str(root.parent / "prepared")}
    return Data(root=str(root), **{"val_fraction": 0.25, "test_fraction": 0.25, **given, **fields})


def bands(prepared, path):
    """Which band is the loudest, by moment, of an example."""
    return 15 - prepared.images[prepared.paths.index(path), :, 6:10, 0].argmax(0)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.wav", {"subtype": "PCM_U8"}),
        ("a.wav", {"subtype": "PCM_16"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "PCM_32"}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "DOUBLE"}),
        ("a.wav", {"subtype": "ULAW"}),
        ("a.wav", {"format": "WAVEX", "subtype": "PCM_16"}),
        ("a.wav", {"format": "RF64", "subtype": "PCM_16"}),
        ("a.wav", {"endian": "BIG", "subtype": "PCM_16"}),
        ("a.flac", {"subtype": "PCM_16"}),
        ("a.flac", {"subtype": "PCM_24"}),
        ("a.ogg", {"subtype": "VORBIS"}),
        ("a.ogg", {"subtype": "OPUS"}),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_read(root, name, how, channels):
    samples = tone(LOW, loud=0.5)
    if channels == 2:
        samples = np.stack([1.5 * samples, 0.5 * samples], axis=1)
    save(root / "low" / name, samples, **how)
    found, rate, frames = middle(str(root), str(root / "low" / name), 1.0)
    assert (rate, frames, len(found)) == (RATE, 4000, 4000)
    assert np.abs(found[1000:3000]).max() == pytest.approx(0.5, abs=0.03)
    prepared = prepare(settings(root), 0)
    assert (bands(prepared, f"low/{name}") == 3).all()
    assert (bands(prepared, "high/0.wav") == 11).all()
    assert prepared.manifest["quarantined"] == []


def test_rates_and_lengths_are_brought_to_one(root):
    for rate in (11025, 44100, 48000):
        save(root / f"low/{rate}.wav", tone(LOW, rate=rate), rate)
    long = np.concatenate([tone(HIGH, 3), tone(LOW, 1), tone(HIGH, 3)])
    save(root / "low/long.flac", long)
    prepared = prepare(settings(root), 0)
    for name in ("11025.wav", "44100.wav", "48000.wav", "long.flac"):
        assert (bands(prepared, f"low/{name}") == 3).all()
    assert prepared.images.shape == (12, 16, 16, 1)
    assert prepared.input_shape == (1, 16, 16)
    card = describe(prepared, settings(root), 0).card.read_text()
    assert "12 sounds in 2 classes, 16 mel bands x 16 moments." in card
    assert "2 sizes, from 0.5 s to 7 s" in card


def test_rate_and_seconds_decide_what_is_prepared(root):
    one, other, third = (prepare(settings(root, **more), 0) for more in ({}, {"seconds": 0.5}, {"rate": 4000}))
    assert len({one.dir, other.dir, third.dir}) == 3
    assert other.images[0, :, 1, 0].max() > 0 == one.images[0, :, 1, 0].max()  # silence before what is shorter


def wav(frames=4000, **header):
    """A WAV of 16 bits with what is said in its header."""
    said = {"riff": 36 + 2 * frames, "code": 1, "channels": 1, "rate": RATE, "bits": 16, "data": 2 * frames, **header}
    form = struct.pack("<HHIIHH", said["code"], said["channels"], said["rate"], said["rate"], 2, said["bits"])
    body = (20000 * tone(LOW)).astype("<i2").tobytes()[: 2 * frames]
    riff = b"RIFF" + struct.pack("<I", said["riff"]) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return riff + b"data" + struct.pack("<I", said["data"]) + body


def not_finite(path):
    save(path, np.array([0.1, np.nan, 0.2] * 1000), subtype="FLOAT")


def far_too_loud(path):
    save(path, 30000 * tone(LOW), subtype="FLOAT")


def cut_off(path):
    save(path, tone(LOW))
    path.write_bytes(path.read_bytes()[:-3000])


def damaged_flac(path):
    save(path, tone(LOW) + np.random.default_rng(0).normal(0, 0.1, 4000), format="FLAC")
    content = bytearray(path.read_bytes())
    path.write_bytes(bytes(content[: len(content) // 2]))


def damaged_ogg(path):
    save(path, tone(LOW), format="OGG")
    path.write_bytes(path.read_bytes()[:200])


def leads_out(path):
    save(path.parents[2] / "elsewhere/secret.wav", tone(LOW))
    path.symlink_to(path.parents[2] / "elsewhere/secret.wav")


REFUSED = {
    "empty": lambda path: path.write_bytes(b""),
    "begins with nothing but zero bytes": lambda path: path.write_bytes(bytes(1000)),
    "not a recording of a known format": lambda path: path.write_bytes(b"anything at all, of some length"),
    "not a recording of a known format (": lambda path: save(path, tone(LOW), format="AIFF"),
    "damaged (": lambda path: path.write_bytes(b"RIFF\x24\0\0\0WAVE"),
    "holds no samples": lambda path: save(path, np.zeros(0)),
    "holds values that are no numbers": not_finite,
    "floating point up to 1.5e+04, where full scale is 1": far_too_loud,
    "damaged (ends after 5044 of 8044 bytes)": cut_off,
    "damaged (flac decoder lost sync": damaged_flac,
    "damaged ": damaged_ogg,
    "a link that leads out of data.root": leads_out,
    "a link to nothing": lambda path: path.symlink_to("nowhere.wav"),
    "not a file but a pipe": lambda path: os.mkfifo(path),
    "3 Hz, where 1000 to 192000 can be used": lambda path: path.write_bytes(wav(rate=3)),
    "200000000 Hz": lambda path: path.write_bytes(wav(rate=200_000_000)),
    "past 600 s": lambda path: save(path, np.zeros(601 * 1000, np.int16), 1000),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_used_is_put_aside_with_its_reason(root, reason, capfd):
    REFUSED[reason](root / "low/bad.wav")
    prepared = prepare(settings(root), 0)
    ((path, said),) = [(one["path"], one["reason"]) for one in prepared.manifest["quarantined"]]
    assert path == "low/bad.wav"
    assert said.startswith(reason), said
    assert len(prepared.labels) == 8
    assert capfd.readouterr().err.count("\n") <= 1  # nothing of libraries


def test_a_length_that_is_not_known_is_no_damage(root):
    for name, said in {"zero": 0, "most": 0xFFFFFFFF}.items():
        (root / f"low/{name}.wav").write_bytes(wav(riff=said, data=said or 8000))
    assert prepare(settings(root), 0).manifest["quarantined"] == []


def test_memory_is_bounded_by_what_is_heard(tmp_path):
    save(tmp_path / "long.flac", np.zeros((8000 * 500, 4), np.int16))  # 16 million samples
    tracemalloc.start()
    try:
        middle(str(tmp_path), str(tmp_path / "long.flac"), 1.0)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_not_one_that_can_be_used(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"raw/{name}").mkdir(parents=True)
        (tmp_path / f"raw/{name}/1.wav").write_bytes(b"")
    with pytest.raises(InputError, match=r"not one of 2 sounds can be used \(a/1\.wav: empty"):
        prepare(settings(tmp_path / "raw"), 0)


def test_a_manifest_keeps_its_speakers_whole(tmp_path):
    lines = ["path,label,speaker"]
    for speaker in range(12):
        for name, hz in (("low", LOW), ("high", HIGH)):
            save(tmp_path / f"raw/{name}{speaker}.wav", tone(hz + speaker))
            lines.append(f"{name}{speaker}.wav,{name},s{speaker}")
    (tmp_path / "raw/list.csv").write_text("\n".join([*lines, "../out.wav,low,s1"]))
    config = settings(tmp_path / "raw", source="audio_manifest", manifest="list.csv", folds=3)
    prepared = prepare(config, 0)
    assert [one["reason"] for one in prepared.manifest["quarantined"]] == [
        "leads out of data.root (row 26 of list.csv)"
    ]
    tested = []
    for seed in range(3):
        splits = split(prepared, config, seed)
        speakers = {name: set(prepared.columns["speaker"][indices].tolist()) for name, indices in splits.items()}
        assert not speakers["test"] & (speakers["train"] | speakers["val"])
        tested += splits["test"].tolist()
    assert sorted(tested) == list(range(24))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rate": 100}, r"data\.rate=100: must "),
        ({"rate": 400_000}, r"data\.rate=400000: must lie between 1000 and 192000"),
        ({"seconds": 0}, r"data\.seconds=0: must be seconds, above 0 and up to 60"),
        ({"seconds": 61}, r"data\.seconds=61"),
        ({"seconds": 0.001}, r"data\.seconds=0\.001: has 8 samples at data\.rate=8000, too few for the data\.size=16"),
        ({"resize": "pad"}, r"data\.resize=pad: is of images, and data\.source=audio_folder gives sounds"),
        ({"messy": 0.5}, r"data\.messy=0\.5: is of images"),
    ],
)
def test_what_cannot_be_asked_for(root, fields, said):
    with pytest.raises(InputError, match=said):
        settings(root, **fields)
    with pytest.raises(InputError, match=r"data\.seconds=2\.0: is of sounds, and data\.source=digits gives images"):
        Data(seconds=2.0)


def test_limits_are_what_is_documented():
    assert f"{recordings.LONGEST_S // 60} minutes" in recordings.__doc__
    assert Path(recordings.__file__).read_text().count("MOST_SAMPLES = 600, 10**8") == 1
