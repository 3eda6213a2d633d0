(function (root) {
  const voices = VOICES, colours = COLOURS
  const [svg, line, choice] = ["svg", "output", "select"].map(name => root.querySelector(name))
  const dots = voices.map(function (voice) {
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle")
    Object.entries({cx: voice.x, cy: voice.y, r: 5}).forEach(each => dot.setAttribute(...each))
    dot.addEventListener("pointerenter", function () {
      line.textContent = voice.t
      dots.forEach(function (other, i) { other.classList.toggle("others", voices[i].s !== voice.s) })
    })
    svg.append(dot)
    return dot
  })
  svg.addEventListener("pointerleave", function () {
    line.textContent = "Point at a voice."
    dots.forEach(function (dot) { dot.classList.remove("others") })
  })
  function paint() { dots.forEach(function (dot, i) { dot.setAttribute("fill", colours[choice.value][i]) }) }
  Object.keys(colours).forEach(function (name) { choice.add(new Option(name)) })
  choice.addEventListener("change", paint)
  paint()
})((document.currentScript && document.currentScript.parentElement)
   || Array.from(document.querySelectorAll(".voice-map")).pop())
