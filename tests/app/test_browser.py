"""The app in a headless browser: from upload and microphone to verdict, and what hostile uploads are told.

One server and one page serve all tests of this file. It is skipped where no Chromium or Chrome is installed.
"""

import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect, sync_playwright
from trees import write

from helpers import PROJECT, SAMPLE_RATE
from helpers.data import corpora, synthesis
from helpers.data.decoding import FORMATS

CHROME = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = "disable-quic no-first-run disable-sync disable-background-networking disable-component-update"
FAKES = "use-fake-device-for-media-stream use-fake-ui-for-media-stream"
ARGUMENTS = [f"--{each}" for each in f"headless=new no-sandbox disable-gpu {QUIET} {FAKES}".split()]
FIRST, PATIENCE = 300_000, 60_000  # milliseconds; the first page waits for TensorFlow
OURS, OTHER = 6, 13  # test speakers whom the committed model tells apart by a wide margin
HOSTILE_NAME = "<img src=x onerror=document.title=7>.wav"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(CHROME is None, reason="no Chromium or Chrome is installed"),
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Folder of WAV files: SPEAKER_NUMBER.wav of the embedded corpus, and the microphone's."""
    folder = tmp_path_factory.mktemp("clips")
    test = corpora.load_utterances(synthesis.embedded_corpus() / "tes.pkl")
    for speaker in (OURS, OTHER):
        for number in range(4):
            waveform = test.waveforms[10 * speaker + number]
            soundfile.write(folder / f"{speaker}_{number}.wav", waveform, SAMPLE_RATE)
    spoken = np.concatenate(test.waveforms[10 * OURS + 4 : 10 * OURS + 8])
    soundfile.write(folder / "microphone.wav", spoken, SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def address():
    """The page's, of a server that has chosen a port itself."""
    model = PROJECT / "notebooks" / "models" / "siamese_gru.keras"
    options = ["--port", "0", "--no-browser", "--pages", "1"]
    options += ["--model", model, "--data", synthesis.embedded_corpus()]
    command = [sys.executable, "-m", "helpers.app", *map(str, options)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as server:
        yield server.stdout.readline().split()[2]
        server.terminate()
        assert server.wait(60) == 0


@pytest.fixture(scope="module")
def browser(clips):
    microphone = f"--use-file-for-fake-audio-capture={clips / 'microphone.wav'}"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROME, args=[*ARGUMENTS, microphone])
        yield started
        started.close()


@pytest.fixture(scope="module")
def opened(browser, address):
    """The page, and the addresses of all that it has asked for."""
    asked, page = [], browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda websocket: asked.append(websocket.url))
    page.goto(address, wait_until="commit")
    expect(page.locator(".voices-input")).to_have_count(2, timeout=FIRST)
    return page, asked


@pytest.fixture
def page(opened, request, tmp_path):
    """The page without clips; a picture of it is left where a test has failed."""
    page, failed = opened[0], request.session.testsfailed
    while count := page.locator(".voices-remove").count():
        page.locator(".voices-remove").first.click()
        expect(page.locator(".voices-remove")).to_have_count(count - 1)
    yield page
    if request.session.testsfailed > failed:
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        print(f"the page as it was: {tmp_path / 'page.png'}")


def upload(page, step, files):
    page.locator(".voices-input input[type=file]").nth(step - 1).set_input_files(files)


def enrol(page, clips):
    upload(page, 1, [clips / f"{OURS}_{number}.wav" for number in range(3)])
    expect(page.locator(".voices-step").first.locator(".voices-clip")).to_have_count(3)


@pytest.mark.slow
def test_one_person_is_told_from_two(page, clips):
    expect(page.get_by_text("Still needed: 3 more of step 1")).to_be_visible()
    enrol(page, clips)
    expect(page.get_by_text("3 of at least 3 clips.")).to_be_visible()
    upload(page, 2, clips / f"{OURS}_3.wav")
    answer = page.locator(".voices-answer")
    sure = "The same person: the probability of one person is (more than )?99 %"
    expect(answer).to_contain_text(re.compile(sure))
    expect(answer).to_contain_text("accepted from +0.00 on.")
    upload(page, 2, clips / f"{OTHER}_3.wav")
    expect(answer).to_contain_text("Different people: the probability of one person is less than 1 %")
    expect(page.locator(".voices-clip")).to_have_count(4)  # it has taken the other's place
    expect(page.locator(".voices-clip audio")).to_have_count(4)
    page.locator(".voices-remove").first.click()
    expect(page.get_by_text("Still needed: 1 more of step 1")).to_be_visible()
    expect(answer).to_have_count(0)


@pytest.mark.parametrize("name", ["memo.m4a", "memo.webm"])
def test_what_telephones_and_browsers_record_is_taken(page, clips, tmp_path, name):
    upload(page, 1, write(tmp_path / name, soundfile.read(clips / f"{OURS}_0.wav", dtype="float32")[0]))
    expect(page.locator(".voices-clip .name")).to_have_text(name)


def test_the_operating_point_moves(page, clips):
    enrol(page, clips)
    upload(page, 2, clips / f"{OURS}_3.wav")
    handles = page.locator(".voices-knobs .noUi-handle")
    expect(handles.nth(2)).to_be_visible()
    now = page.locator("tr.now")
    expect(now).to_contain_text("as set+0.0")
    before = page.locator(".voices-picture img").get_attribute("src")
    handles.nth(2).press("ArrowRight")  # letting somebody else in costs 2
    expect(now).to_contain_text("as set+0.7")
    handles.nth(0).press("ArrowLeft")  # a prior of 25 %
    expect(now).to_contain_text("as set+1.8")
    expect(page.locator(".voices-answer")).to_contain_text("accepted from +1.79 on.")
    expect(page.locator(".voices-picture img")).not_to_have_attribute("src", before)


def test_the_nearest_voices_are_the_speaker_s(page, clips):
    upload(page, 2, clips / f"{OTHER}_0.wav")
    near = page.locator(".voices-near .who")
    for rank in range(2):
        expect(near.nth(rank)).to_have_text(f"tes {OTHER}")
    expect(near).to_have_count(5)
    expect(page.locator(".voices-near audio")).to_have_count(5)
    enrol(page, clips)
    page.get_by_role("button", name="the person enrolled").click()
    expect(near.first).to_have_text(f"tes {OURS:02d}")
    page.get_by_role("button", name="the clip to verify").click()
    expect(near.first).to_have_text(f"tes {OTHER}")


@pytest.mark.slow
def test_the_microphone(page):
    page.get_by_role("button", name="Record").nth(1).click()
    expect(page.locator(".voices-doing").nth(1)).to_contain_text(re.compile("([3-9]|1.) s of 20"))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".voices-clip .name")).to_have_text("recording 1")
    expect(page.locator(".voices-near .who").first).to_have_text(f"tes {OURS:02d}")


def test_hostile_uploads_are_told_in_a_line_each(page, clips, tmp_path):
    whole = (clips / f"{OURS}_0.wav").read_bytes()
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "cut.flac", soundfile.read(clips / f"{OURS}_0.wav")[0], 16_000)
    cut = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(cut[: len(cut) // 2])
    soundfile.write(tmp_path / "bomb.flac", np.zeros(3600 * 16_000, np.int16), 16_000)
    with open(tmp_path / "large.wav", "wb") as file:
        file.truncate(21 * 2**20)
    (tmp_path / "film.m4a").write_text("nor this")
    upload(page, 1, sorted(tmp_path.iterdir()))
    said = page.locator(".voices-said").first
    expect(said).to_contain_text("text.wav")
    lines = said.inner_text().splitlines()
    undecodable = [line.partition(" (")[0] for line in lines if " cannot be decoded (" in line]
    assert undecodable == [f"{name} cannot be decoded" for name in ("cut.flac", "film.m4a", "text.wav")]
    assert [line for line in lines if " cannot be decoded (" not in line] == [
        "bomb.flac is 3600 s long, in 1 channel; expected 120 s at most, in one or two",
        f"empty.wav is empty; expected a recording of speech as {FORMATS}",
        "large.wav has 21 MB; expected 20 MB at most",
    ]
    expect(page.locator(".voices-clip")).to_have_count(0)
    upload(page, 1, {"name": HOSTILE_NAME, "mimeType": "audio/wav", "buffer": whole})
    expect(page.locator(".voices-clip .name")).to_have_text(HOSTILE_NAME)
    expect(said).to_be_hidden()
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "Siamese Voices"


def test_no_code_and_nothing_from_elsewhere(opened, address):
    page, asked = opened
    assert page.locator(".jp-InputArea, .jp-CodeMirrorEditor").count() == 0
    text = page.content()
    assert "page.show" not in text
    assert "Traceback" not in text
    host = address.removeprefix("http://")
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith((address, f"ws://{host}", "data:", "blob:"))] == []


def test_it_fits_a_telephone(page):
    page.set_viewport_size({"width": 400, "height": 850})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size({"width": 1280, "height": 900})


def test_only_this_machine_is_answered(address):
    port = int(address.rstrip("/").rpartition(":")[2])
    assert address == f"http://127.0.0.1:{port}/"
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)} - {"127.0.0.1"}
    for other in (*others, "127.0.0.2"):
        with (
            pytest.raises((ConnectionRefusedError, TimeoutError)),
            socket.create_connection((other, port), timeout=5),
        ):
            pass
    for path, headers, status in (
        ("", {"Host": "elsewhere.example"}, 403),
        ("voila/files/app.py", {}, 403),
        ("voila/files/page.css", {}, 403),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(address + path, headers=headers))
        assert refused.value.code == status


def test_no_more_pages_than_allowed(opened, address):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(address)
    assert refused.value.code == 503
    told = refused.value.read().decode()
    assert "This page is open elsewhere; close one, and load this one anew" in told
    assert "//" not in told.replace("<!DOCTYPE html>", "")  # nothing from other servers


def test_a_closed_page_leaves_nothing(opened, browser, address):  # the last one: it closes the page
    page, asked = opened
    (kernel,) = {url.split("/")[5] for url in asked if url.startswith("ws://")}
    other = browser.new_page()
    other.goto(f"{address}voila/static/nothing")
    status = f"async () => (await fetch('/api/kernels/{kernel}')).status"
    assert other.evaluate(status) == 200
    page.close(run_before_unload=True)
    other.wait_for_function(f"({status})().then(status => status === 404)", timeout=PATIENCE)
