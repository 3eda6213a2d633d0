// Takes files, or records from the microphone, and hands the clips over in pieces.
const RATE = 16000, PIECE = 2 ** 19
const OPEN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 }
const REFUSED = {
  NotAllowedError: "The microphone was refused; allow it beside the page's address, or upload a file.",
  NotFoundError: "No microphone was found; plug one in, or upload a file.",
  NotReadableError: "Another program holds the microphone; close it, or upload a file.",
}

// What the browser has recorded, as 16-bit WAV of one channel at 16,000 Hz.
async function asWav(blob) {
  const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer())
  const bytes = new DataView(new ArrayBuffer(44 + 2 * sound.length))
  const text = (at, letters) => [...letters].forEach((each, i) => bytes.setUint8(at + i, each.charCodeAt(0)))
  text(0, "RIFF")
  bytes.setUint32(4, 36 + 2 * sound.length, true)
  text(8, "WAVEfmt ")
  ;[[16, 16], [24, RATE], [28, 2 * RATE], [40, 2 * sound.length]].forEach(([at, n]) => bytes.setUint32(at, n, true))
  ;[[20, 1], [22, 1], [32, 2], [34, 16]].forEach(([at, n]) => bytes.setUint16(at, n, true))
  text(36, "data")
  const channels = Array.from({ length: sound.numberOfChannels }, (_, i) => sound.getChannelData(i))
  for (let i = 0; i < sound.length; i++) {
    const mean = channels.reduce((sum, each) => sum + each[i], 0) / channels.length
    bytes.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, mean))), true)
  }
  return new Blob([bytes])
}

function render({ model, el }) {
  el.classList.add("voices-input")
  el.innerHTML = `<div class="voices-buttons"><button type="button" class="voices-record">Record</button>
    <label class="voices-choose"><span></span><input type="file" accept="audio/*,.flac,.ogg,.opus,.webm"></label>
    <meter min="0" max="1" hidden></meter><span class="voices-doing" role="status"></span></div>
    <div class="voices-said" role="alert"></div>`
  const [record, choice, chosen, meter, doing, said] = ["button", "label span", "input", "meter", ".voices-doing", ".voices-said"]
    .map((name) => el.querySelector(name))
  let recorder = null, count = 0
  chosen.multiple = model.get("multiple")
  choice.textContent = chosen.multiple ? "Choose files" : "Choose a file"
  const problem = (text) => model.send({ kind: "problem", text })
  const show = () => {
    doing.textContent = model.get("doing")
    said.textContent = model.get("said")
  }

  let last = Promise.resolve() // clips go over one after another, or their pieces would mingle
  const hand = (blob, name) => (last = last.then(() => send(blob, name)))
  async function send(blob, name) {
    const most = model.get("most_bytes")
    if (blob.size > most) return model.send({ kind: "whole", name, size: blob.size }, undefined, [])
    for (let at = 0; at < blob.size; at += PIECE) {
      model.send({ kind: "piece", name }, undefined, [await blob.slice(at, at + PIECE).arrayBuffer()])
    }
    model.send({ kind: "whole", name, size: blob.size }, undefined, [])
  }

  async function take(files) {
    model.send({ kind: "start" })
    for (const file of files) await hand(file, file.name)
  }

  async function start() {
    model.send({ kind: "start" })
    if (!navigator.mediaDevices) {
      return problem("A browser gives the microphone only to pages on localhost or over https; upload a file.")
    }
    let stream
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: OPEN })
    } catch (error) {
      return problem(REFUSED[error.name] || `The microphone cannot be used (${error.name}); upload a file.`)
    }
    const lossless = "audio/webm;codecs=pcm"
    const kind = MediaRecorder.isTypeSupported(lossless) ? { mimeType: lossless } : { audioBitsPerSecond: 256000 }
    const pieces = [], begun = performance.now(), most = model.get("most_seconds"), context = new AudioContext()
    const analyser = context.createAnalyser(), wave = new Float32Array(analyser.fftSize)
    context.createMediaStreamSource(stream).connect(analyser)
    const clock = setInterval(() => {
      const seconds = (performance.now() - begun) / 1000
      analyser.getFloatTimeDomainData(wave)
      meter.value = Math.sqrt(Math.max(...wave.map(Math.abs)))
      doing.textContent = `${Math.floor(seconds)} s of ${most}: speak as you would to a friend`
      if (seconds >= most) recorder?.stop()
    }, 100)
    recorder = new MediaRecorder(stream, kind)
    recorder.ondataavailable = (event) => pieces.push(event.data)
    recorder.onstop = async () => {
      clearInterval(clock)
      stream.getTracks().forEach((track) => track.stop())
      context.close()
      recorder = null
      meter.hidden = true
      record.textContent = "Record"
      doing.textContent = ""
      try {
        await hand(await asWav(new Blob(pieces)), `recording ${++count}`)
      } catch {
        problem("Nothing was recorded; speak for a second or more.")
      }
    }
    recorder.start()
    meter.hidden = false
    record.textContent = "Stop"
  }

  record.addEventListener("click", () => (recorder ? recorder.stop() : start()))
  chosen.addEventListener("change", async () => {
    await take([...chosen.files])
    chosen.value = "" // the same file may be chosen again
  })
  el.addEventListener("dragover", (event) => event.preventDefault())
  el.addEventListener("drop", (event) => {
    event.preventDefault()
    take([...event.dataTransfer.files])
  })
  model.on("change:doing change:said", show)
  show()
  return () => recorder?.stop()
}

export default { render }
