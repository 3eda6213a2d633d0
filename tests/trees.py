"""Small corpora for tests: sounds that pass for speech, in files of every kind and trees of every layout."""

import numpy as np
import pandas as pd
import soundfile

from helpers.convert import main

RATE = 16000
SMALL = ["--train-speakers", "2", "--test-speakers", "2", "--utterances", "2", "--workers", "1"]


def tone(seed=0, seconds=1.8, silence=0.2, rate=RATE, level=0.5):
    """A voice of a kind: a harmonic sound with a little noise, and silence before and after it."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    pitch = 100 + 10 * (seed % 20)
    wave = sum(np.sin(2 * np.pi * pitch * k * time + k) / k for k in range(1, 8))
    wave = level * wave / np.abs(wave).max() + 1e-3 * rng.standard_normal(len(time))
    quiet = 1e-4 * rng.standard_normal((2, int(silence * rate)))
    return np.concatenate([quiet[0], wave, quiet[1]]).astype(np.float32)


def write(path, wave, rate=RATE):
    """Write a sound in the format of the path's ending; ``.raw`` and ``.sph`` are written by hand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)
    if path.suffix == ".raw":
        path.write_bytes(samples.astype(">i2").tobytes())
    elif path.suffix in (".m4a", ".webm"):
        write_with_libav(path, wave, rate)
    elif path.suffix in (".sph", ".WAV"):
        path.write_bytes(sphere(samples.astype("<i2").tobytes(), len(samples), "pcm", "01", rate))
    else:
        soundfile.write(path, wave, rate)
    return path


def sphere(content, count, coding, order, rate=RATE):
    """A NIST SPHERE file: 1024 bytes of text, and the samples."""
    fields = {
        "database_id": "TIMIT",
        "channel_count": 1,
        "sample_count": count,
        "sample_rate": rate,
        "sample_n_bytes": 2,
        "sample_byte_format": order,
        "sample_sig_bits": 16,
        "sample_coding": coding,
    }
    lines = [
        f"{name} -s{len(value)} {value}" if isinstance(value, str) else f"{name} -i {value}"
        for name, value in fields.items()
    ]
    return "\n".join(["NIST_1A", "   1024", *lines, "end_head", ""]).encode().ljust(1024) + content


def write_with_libav(path, wave, rate=RATE):
    import av

    kinds = {".m4a": ("mp4", "aac", "fltp", rate), ".webm": ("webm", "libopus", "flt", 48000)}
    kind, codec, form, coded = kinds[path.suffix]
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=coded, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        for part in av.AudioResampler(form, "mono", coded).resample(frame):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


class Bits:
    """Bits in the codes of the shorten format: a number in unary, its lowest bits as they are."""

    def __init__(self):
        self.bits = []

    def unsigned(self, value, low):
        self.bits += [0] * (value >> low) + [1] + [value >> place & 1 for place in reversed(range(low))]

    def signed(self, value, low):
        self.unsigned(value << 1 if value >= 0 else ~value << 1 | 1, low + 1)

    def long(self, value):
        self.unsigned(value.bit_length(), 2)
        self.unsigned(value, value.bit_length())


def shortened(samples, block=256):
    """16-bit samples as shorten's version 2 compresses them; their number is a multiple of the block."""
    bits = Bits()
    for value in (5, 1, block, 0, 0, 0):  # 16-bit little-endian, a channel, and no prediction
        bits.long(value)
    for start in range(0, len(samples), block):
        bits.unsigned(0, 2)
        bits.unsigned(8, 3)
        for value in samples[start : start + block].tolist():
            bits.signed(value, 8)
    bits.unsigned(4, 2)  # the end
    packed = np.packbits(bits.bits).tobytes()
    return b"ajkg\x02" + packed + bytes(-len(packed) % 4)


# layout: the path of a speaker's recording, and where the genders stand; speakers 0, 2, ... are women.
PATHS = {
    "vctk-0.92": lambda s, r: f"wav48_silence_trimmed/p{225 + s}/p{225 + s}_{23 + r:03d}_mic1.flac",
    "vctk-0.80": lambda s, r: f"wav48/p{225 + s}/p{225 + s}_{23 + r:03d}.wav",
    "voxceleb": lambda s, r: f"dev/aac/id{10001 + s}/1zcIwhmd-{r % 2}_/{r:05d}.m4a",
    "librispeech": lambda s, r: f"dev-clean/{84 + s}/{121 + r % 2}/{84 + s}-{121 + r % 2}-{r:04d}.flac",
    "libritts": lambda s, r: (
        f"train-clean-100/{84 + s}/{121 + r % 2}/{84 + s}_{121 + r % 2}_{r:06d}_000001.wav"
    ),
    "aishell": lambda s, r: f"wav/train/S000{s}/BAC009S000{s}W012{r}.wav",
    "cn-celeb": lambda s, r: f"data/id0001{s}/singing-{r % 2:02d}-00{r}.flac",
    "common-voice": lambda s, r: f"clips/common_voice_de_{s}{r}.mp3",
    "timit": lambda s, r: (
        f"{'TRAIN' if s < 2 else 'TEST'}/DR1/{'FM'[s % 2]}CJ{s}/{('SA1', 'SI7', 'SX9')[r]}.WAV"
    ),
    "an4": lambda s, r: f"wav/{'an4' if s < 2 else 'an4test'}_clstk/{'fm'[s % 2]}as{'hijk'[s]}/",
    "folders": lambda s, r: f"{('anna', 'ben', 'cleo', 'dan')[s]}/{('one', 'two', 'three')[r]}.ogg",
    "table": lambda s, r: f"sounds/{s}{r}.mp3",
}


def write_corpus(folder, layout, speakers=4, recordings=3, paths_only=False):
    """A corpus in a layout: speakers of both genders, women first, and what tells their genders."""
    rows = []
    for s in range(speakers):
        for r in range(recordings):
            path = PATHS[layout](s, r)
            if layout == "an4":
                path += f"an{251 + r}-{path.split('/')[2]}-b.raw"
            if layout == "timit":
                path = path.replace(f"CJ{s}/", f"CJF{s}/")
            rows.append((path, s))
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch() if paths_only else write(folder / path, tone(s * recordings + r))
    _write_about(folder, layout, speakers, rows)
    return folder


def _write_about(folder, layout, speakers, rows):
    lines = {
        "vctk-0.92": (
            "speaker-info.txt",
            "ID AGE GENDER",
            lambda s: f"p{225 + s}  23  {'FM'[s % 2]}    English",
        ),
        "vctk-0.80": (
            "speaker-info.txt",
            "ID AGE GENDER",
            lambda s: f"{225 + s}  23  {'FM'[s % 2]}    English",
        ),
        "voxceleb": (
            "vox1_meta.csv",
            "ID\tName\tGender\tSet",
            lambda s: f"id{10001 + s}\tA.J._B\t{'fm'[s % 2]}\tUK\tdev",
        ),
        "librispeech": (
            "SPEAKERS.TXT",
            "; reader",
            lambda s: f"{84 + s}   | {'FM'[s % 2]} | dev-clean | 8.02 | A B",
        ),
        "libritts": (
            "speakers.tsv",
            "READER\tGENDER\tSUBSET\tNAME",
            lambda s: f"{84 + s}\t{'FM'[s % 2]}\ttrain-clean-100\tA B",
        ),
        "aishell": ("speaker.info", "", lambda s: f"000{s} {'FM'[s % 2]}"),
        "common-voice": (
            "validated.tsv",
            "client_id\tpath\tsentence\tgender",
            lambda s: "\n".join(
                f'c{s}\t{path[6:]}\t"Hm\t{("female_feminine", "male")[s % 2]}' for path, of in rows if of == s
            ),
        ),
        "folders": (
            "speakers.csv",
            "speaker,gender",
            lambda s: f"{('anna', 'ben', 'cleo', 'dan')[s]},{'fm'[s % 2]}",
        ),
        "table": (
            "utterances.csv",
            "path,speaker,gender,age",
            lambda s: "\n".join(f"{path},s{s},{('female', 'M')[s % 2]},3{s}" for path, of in rows if of == s),
        ),
    }
    if layout in lines:
        name, first, line = lines[layout]
        (folder / name).write_text("\n".join([first, *map(line, range(speakers))]) + "\n")


def write_voices(folder):
    """A folder for each of six speakers, four recordings in each."""
    for s in range(6):
        for r in range(4):
            write(folder / f"s{s}" / f"r{r}.wav", tone(4 * s + r))
    return folder


def convert_small(folder, out, *options):
    """The tables trs, tes and left_out of a corpus that is converted with two speakers a part."""
    assert main([str(folder), "--out", str(out), *SMALL, *options]) == 0
    return [
        pd.read_csv(out / f"{name}.csv", keep_default_na=False, dtype=str)
        for name in ("trs", "tes", "left_out")
    ]
