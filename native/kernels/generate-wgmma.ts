/**
 * Writes WarpGroupMma.cuh: one wrapper for each width of `wgmma.mma_async`, with A from shared memory or from registers.
 *
 * `node native/kernels/generate-wgmma.ts` ⇒ native/kernels/WarpGroupMma.cuh
 *
 * Source: PTX ISA 8.0, section 9.7.15 (asynchronous warpgroup level matrix instructions).
 */
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

const widths = [8, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 256]
// Widths of SWAPPED tiles, whose rows are B's: any multiple of 8 may divide them evenly.
const swappedWidths = [56, 72, 88, 104, 120]
const variants = ["shared", "registers"] as const

const wrapper = (n: number, a: (typeof variants)[number]): string => {
  const count = n / 2
  const accumulators = Array.from({ length: count }, (_, i) => `%${i}`).join(", ")
  const operands = Array.from({ length: count }, (_, i) => `ACC(d[${i}])`).join(", ")
  const first = count
  const aText = a === "shared" ? `%${first}` : `{%${first}, %${first + 1}, %${first + 2}, %${first + 3}}`
  const bAt = a === "shared" ? first + 1 : first + 4
  const aParameter = a === "shared" ? "u64 a" : "const u32 (&a)[4]"
  const aOperands = a === "shared" ? `"l"(a)` : `"r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3])`
  const modifiers = a === "shared" ? "MMA_TAIL_SHARED" : "MMA_TAIL_REGISTERS"
  return [
    `template <> struct MMA_NAME<${n}> {`,
    `  static __device__ __forceinline__ void ${a}(MMA_ACC (&d)[${count}], ${aParameter}, u64 b, u32 accumulate) {`,
    `    asm volatile("{\\n.reg .pred p;\\nsetp.ne.b32 p, %${bAt + 1}, 0;\\n"`,
    `                 "wgmma.mma_async.sync.aligned.m64n${n}" MMA_SHAPE_TYPES " {${accumulators}}, ${aText}, %${bAt}, p" ${modifiers} ";\\n}"`,
    `                 : ${operands}`,
    `                 : ${aOperands}, "l"(b), "r"(accumulate));`,
    `  }`,
    `};`
  ].join("\n")
}

const text = [
  "// Written by generate-wgmma.ts; don't edit. Included once for each kind of product, with these macros set before:",
  "//   MMA_NAME            name of the wrapper's struct, MMA_NAME<N>::shared or ::registers",
  '//   MMA_SHAPE_TYPES     "k16.f32.f16.f16" and so on',
  "//   MMA_ACC             float or int",
  "//   MMA_FROM_REGISTERS  1 where A comes from registers",
  '//   MMA_TAIL_SHARED, MMA_TAIL_REGISTERS  the scale and transpose immediates, ", 1, 1, 0, 0"',
  "",
  "#undef ACC",
  "#define ACC MMA_ACC_OPERAND",
  "template <int N> struct MMA_NAME;",
  "#if MMA_FROM_REGISTERS",
  ...widths.map((n) => wrapper(n, "registers")),
  "#else",
  ...widths.map((n) => wrapper(n, "shared")),
  "#if SWAPPED",
  ...swappedWidths.map((n) => wrapper(n, "shared")),
  "#endif",
  "#endif",
  "#undef ACC",
  "#undef MMA_NAME",
  "#undef MMA_SHAPE_TYPES",
  "#undef MMA_ACC",
  "#undef MMA_ACC_OPERAND",
  "#undef MMA_FROM_REGISTERS",
  "#undef MMA_TAIL_SHARED",
  "#undef MMA_TAIL_REGISTERS",
  ""
].join("\n")

writeFileSync(fileURLToPath(new URL("WarpGroupMma.cuh", import.meta.url)), text)
