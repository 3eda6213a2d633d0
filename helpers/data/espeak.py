"""espeak-ng as a function: text in, samples out, the same for the same text in any order of calls."""

import _ctypes
import ctypes
import os
import sys
from pathlib import Path

import espeakng_loader
import numpy as np

from helpers import InputError

RATE = 22_050  # samples a second, in Hz


class Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's speak_lib.h."""

    _fields_ = (("type", ctypes.c_int), ("identifier", ctypes.c_uint))
    _fields_ += tuple((name, ctypes.c_int) for name in ("text_position", "length", "milliseconds", "sample"))
    _fields_ += (("user_data", ctypes.c_void_p), ("id", ctypes.c_char * 8))


Short = ctypes.POINTER(ctypes.c_short)
Receiver = ctypes.CFUNCTYPE(ctypes.c_int, Short, ctypes.c_int, ctypes.POINTER(Event))


def speak(text, variant, accent, pitch=50, pitch_range=50, rate=175):
    """Let espeak-ng say `text`.

    The library keeps state that its own `espeak_Terminate` does not reset (flutter, the wave's phase), so
    each call loads it afresh, which takes a millisecond, and unloads it: what it says does not depend on what
    it said before.

    Parameters
    ----------
    text : str
        ASCII.
    variant, accent : str
        Names among espeak-ng's voices.
    pitch, pitch_range : float, 0 to 99
        50 is the variant's own; 50 more of pitch is an octave.
    rate : float, 80 to 450
        Words per minute.

    Returns
    -------
    wave : float64 array (samples,) in [-1, 1] at 22,050 Hz
    onsets : list of (int, float)
        Where each word begins: its first character in `text`, and seconds.

    Raises
    ------
    InputError
        When the library cannot be loaded, or has no such voice.
    """
    path = Path(espeakng_loader.get_library_path())
    waves, onsets = [], []

    @Receiver
    def receive(wave, count, events):
        if wave and count > 0:
            waves.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events and (event := events[index]).type:
            if event.type == 1:  # a word; characters count from 1
                onsets.append((event.text_position - 1, event.milliseconds / 1000))
            index += 1
        return 0

    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise InputError(f"{path.name} cannot be loaded ({error}); install espeakng-loader again") from None
    try:
        # output 2: to the callback before `espeak_Synth` returns; option 0x8000: no exit() on an error
        data = Path(espeakng_loader.get_data_path())
        if library.espeak_Initialize(2, 0, os.fsencode(data), 0x8000) != RATE:
            raise InputError(f"{path.name} does not find its data; install espeakng-loader again")
        library.espeak_SetSynthCallback(receive)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        known = (data / "voices" / "!v" / variant).is_file()  # espeak-ng speaks on without a variant it lacks
        if library.espeak_SetVoiceByName(f"{accent}+{variant}".encode()) or not known:
            raise InputError(f"{path.name} has no voice {accent}+{variant}")
        # parameter 2 is volume: at half of it, no variant clips
        for parameter, value in ((1, rate), (2, 50), (3, pitch), (4, pitch_range)):
            library.espeak_SetParameter(parameter, round(value), 0)
        said = text.encode("ascii") + b"\0"
        library.espeak_Synth(said, ctypes.c_size_t(len(said)), 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
        library.espeak_Terminate()
    finally:
        (_ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose)(library._handle)
    return np.concatenate(waves) / 32768, onsets
