// Lines of text as pictures, as wide as their text: what a text recogniser reads. Drawn with fonts that npm packages
// carry, in many weights, inks and papers. Deterministic: line i is the same on every machine.
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { createCanvas, GlobalFonts } from "@napi-rs/canvas"
import { IR, type Pipeline } from "anneal"

/** Height of the recogniser's input, in pixels. */
const height = 48

/** Above and below the ink, in parts of its height: what a text detector leaves around a line. */
const margin = 0.15

/** Widths are multiples of this, so that lines of like length share a shape; the recogniser looks at steps of 8 pixels. */
const step = 16

const require = createRequire(import.meta.url)
const dejaVu = (name: string): readonly [family: string, file: string] => [
  name,
  join(dirname(require.resolve("dejavu-fonts-ttf/package.json")), "ttf", `${name}.ttf`)
]
const roboto = (weight: number): readonly [family: string, file: string] => [
  `Roboto${weight}`,
  join(dirname(require.resolve("@fontsource/roboto/package.json")), "files", `roboto-latin-${weight}-normal.woff2`)
]
const styles =
  "Sans Sans-Bold Sans-Oblique SansCondensed SansCondensed-Bold SansMono Serif Serif-Bold Serif-Italic SerifCondensed"
const fonts = [...styles.split(" ").map((style) => dejaVu(`DejaVu${style}`)), ...[300, 400, 500, 700].map(roboto)]
for (const [family, file] of fonts) {
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

/** None with a capital I, which is an l in most of the fonts: no reader could be right. */
const words = (
  "about after again along amount arrival bakery because before between bridge building called change children city " +
  "coffee company could country date different early every example family father first following garden great Gate " +
  "Flight hand head Hotel house important kitchen large letter light little London market might Monday " +
  "morning mother mountain name never night North number often open Order other page paper Paris Payment people place " +
  "Platform point quick quiet reading right river Road Room school second sentence should small sound South spell " +
  "station still Street study Sunday table their there these thing think those though thought three through time " +
  "together Tokyo Total train travel tree under until very watch water where which while winter without work world " +
  "would write year young Zurich"
).split(" ")

/** What line `index` says and how it looks. */
export const describe = (index: number) => {
  const random = generator(index * 7919 + 17)
  const upTo = (count: number): number => Math.floor(random() * count)
  const digits = (count: number): string => Array.from({ length: count }, () => upTo(10)).join("")
  const letter = (): string => "ABCDEFGHJKLMNPRSTUVWXYZ"[upTo(23)] ?? ""
  const word = (): string => words[upTo(words.length)] ?? ""
  const others = [
    () => `${1 + upTo(28)}.${1 + upTo(12)}.${1970 + upTo(60)}`,
    () => `${1 + upTo(12)}:${upTo(6)}${digits(1)}`,
    () => `${1 + upTo(900)}.${digits(2)}`,
    () => `#${digits(3 + upTo(3))}`,
    () => `${upTo(100)}%`,
    () => `${letter()}${letter()}-${digits(4)}`
  ]
  const parts = Array.from({ length: random() < 0.6 ? 1 : 2 }, () =>
    random() < 0.6 ? word() : (others[upTo(others.length)] ?? word)()
  )
  const [family = ""] = fonts[upTo(fonts.length)] ?? []
  const [dark, light] = [upTo(90), 190 + upTo(65)]
  const [ink, paper] = random() < 0.15 ? [light, dark] : [dark, light]
  return { text: parts.join(" "), family, ink, paper }
}

/** The picture of line `index` as the recogniser wants it: f32 `[1, 3, 48, width]`, pixels scaled to [−1, 1]. */
export const picture = (index: number): IR.Tensor.Tensor => {
  const { family, ink, paper, text } = describe(index)
  const ruler = createCanvas(1, 1).getContext("2d")
  const measured = (size: number) => {
    ruler.font = `${size}px ${family}`
    const {
      actualBoundingBoxAscent: up,
      actualBoundingBoxDescent: down,
      actualBoundingBoxLeft: left,
      actualBoundingBoxRight: right
    } = ruler.measureText(text)
    return { up, left, tall: up + down, wide: left + right }
  }
  // The ink's height decides the size: the line is cut out as a detector would cut it, then scaled to the input's height.
  const size = (100 * height) / (measured(100).tall * (1 + 2 * margin))
  const { left, up, tall, wide } = measured(size)
  const edge = margin * tall
  const width = step * Math.ceil((wide + 2 * edge) / step)
  const context = createCanvas(width, height).getContext("2d")
  context.fillStyle = `rgb(${paper}, ${paper}, ${paper})`
  context.fillRect(0, 0, width, height)
  context.font = `${size}px ${family}`
  context.fillStyle = `rgb(${ink}, ${ink}, ${ink})`
  context.fillText(text, edge + left, edge + up)
  const { data } = context.getImageData(0, 0, width, height)
  const planes = new Float32Array(3 * height * width)
  for (let pixel = 0; pixel < height * width; pixel++)
    for (let channel = 0; channel < 3; channel++)
      planes[channel * height * width + pixel] = (data[4 * pixel + channel] ?? 0) / 127.5 - 1
  return IR.Tensor.make("f32", [1, 3, height, width], planes)
}

/** Lines `first` to `first + count − 1` and what they say, by the name of the model's input. */
export const labelled = (
  input: string,
  first: number,
  count: number
): ReadonlyArray<Pipeline.Evaluator.LabelledSample> =>
  Array.from({ length: count }, (_, index) => ({
    inputs: { [input]: picture(first + index) },
    label: describe(first + index).text
  }))
