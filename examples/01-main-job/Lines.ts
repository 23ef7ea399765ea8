// Lines of text as pictures, as wide as their text: what a recogniser reads. Drawn with fonts that npm packages carry.
// Deterministic: line i is the same on every machine.
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { createCanvas, GlobalFonts } from "@napi-rs/canvas"
import { IR, type Pipeline } from "anneal"

/** Height of the recogniser's input, in pixels. */
const height = 48
/** Widths are multiples of this; the recogniser looks at steps of 8 pixels. */
const step = 32

const require = createRequire(import.meta.url)
const fontFiles: ReadonlyArray<readonly [family: string, file: string]> = [
  ...["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSansCondensed", "DejaVuSerif-Bold"].map(
    (name): readonly [string, string] => [
      name,
      join(dirname(require.resolve("dejavu-fonts-ttf/package.json")), "ttf", `${name}.ttf`)
    ]
  ),
  [
    "Roboto",
    join(dirname(require.resolve("@fontsource/roboto/package.json")), "files", "roboto-latin-400-normal.woff2")
  ]
]
for (const [family, file] of fontFiles) {
  GlobalFonts.registerFromPath(file, family)
  if (!GlobalFonts.has(family)) throw new Error(`the font ${file} could not be loaded`)
}

/** A small generator of uniform numbers in [0, 1): mulberry32. */
const generator = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

const words = (
  "the of and to in a is that for it was on are as with his they at be this from have or by one had not but what all " +
  "were when we there can an your which their said if do will each about how up out them then she many some so these " +
  "Invoice Total Date Order Number Payment Street Paris Berlin Tokyo London 2026 1984 42 17.50 99% Room Gate Flight"
).split(" ")

/** What line `index` says, and how it looks. */
export const describe = (index: number) => {
  const random = generator(index * 7919 + 17)
  const pick = <A>(list: ReadonlyArray<A>): A | undefined => list[Math.floor(random() * list.length)]
  const text = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(words)).join(" ")
  const family = pick(fontFiles)?.[0] ?? "Roboto"
  const size = 28 + Math.floor(random() * 8)
  const ink = Math.floor(random() * 90)
  const paper = 200 + Math.floor(random() * 55)
  return { text, family, size, ink, paper }
}

/** The picture of line `index` as the recogniser wants it: f32 `[1, 3, 48, width]`, pixels scaled to [−1, 1]. */
export const picture = (index: number): IR.Tensor.Tensor => {
  const { family, ink, paper, size, text } = describe(index)
  const ruler = createCanvas(1, 1).getContext("2d")
  ruler.font = `${size}px ${family}`
  const width = step * Math.max(1, Math.ceil((ruler.measureText(text).width + 16) / step))
  const context = createCanvas(width, height).getContext("2d")
  context.fillStyle = `rgb(${paper}, ${paper}, ${paper})`
  context.fillRect(0, 0, width, height)
  context.font = `${size}px ${family}`
  context.fillStyle = `rgb(${ink}, ${ink}, ${ink})`
  context.textBaseline = "middle"
  context.fillText(text, 8, height / 2 + 1)
  const { data } = context.getImageData(0, 0, width, height)
  const planes = new Float32Array(3 * height * width)
  for (let pixel = 0; pixel < height * width; pixel++)
    for (let channel = 0; channel < 3; channel++)
      planes[channel * height * width + pixel] = (data[4 * pixel + channel] ?? 0) / 127.5 - 1
  return IR.Tensor.make("f32", [1, 3, height, width], planes)
}

/** Lines `first` to `first + count − 1`, by the name of the model's input. */
export const samples = (input: string, first: number, count: number): ReadonlyArray<Pipeline.Samples.Sample> =>
  Array.from({ length: count }, (_, index) => ({ [input]: picture(first + index) }))

/** The same with what they say. */
export const labelled = (
  input: string,
  first: number,
  count: number
): ReadonlyArray<Pipeline.Evaluator.LabelledSample> =>
  Array.from({ length: count }, (_, index) => ({
    inputs: { [input]: picture(first + index) },
    label: describe(first + index).text
  }))
