// Data movement, sizes and random tensors as ONNX operators.
import * as Dim from "@anneal/ir/Dim"
import * as Ops from "@anneal/ir/Ops"
import * as ElementType from "../ElementType.ts"
import type { Export, ExportContext } from "../Exporter.ts"
import { define } from "../Exporter.ts"

/** Element types that Range makes itself. */
const rangeTypes = new Set(["f32", "f64", "i16", "i32", "i64"])

/** One extent that is not a number is written as −1, which every tool folds. */
const reshapeTo = (c: ExportContext, shape: ReadonlyArray<Dim.Dim>): void => {
  const open = shape.filter((dim) => !Dim.isStatic(dim)).length
  const numbers = shape.map((dim) => (Dim.isStatic(dim) ? dim : -1))
  if (open <= 1 && !numbers.includes(0)) c.result("Reshape", [...c.inputs, c.integers(numbers)])
  else c.result("Reshape", [...c.inputs, c.dims(shape)], { allowzero: 1 })
}

const random = (
  c: ExportContext,
  shape: ReadonlyArray<Dim.Dim>,
  operator: string,
  dtype: number,
  seed: number
): void => {
  const numbers = shape.filter(Dim.isStatic)
  const attributes = { dtype, seed: { float: seed } }
  if (numbers.length === shape.length) c.result(operator, [], { ...attributes, shape: numbers })
  else c.result(`${operator}Like`, [c.add("ConstantOfShape", [c.dims(shape)])], attributes)
}

export const all: ReadonlyArray<Export> = [
  define(Ops.reshape, (c, { shape }) => reshapeTo(c, shape)),
  define(Ops.transpose, (c, { permutation }) => c.result("Transpose", c.inputs, { perm: permutation })),
  define(Ops.expand, (c, { shape }) => c.result("Expand", [...c.inputs, c.dims(shape)])),
  define(Ops.slice, (c, { sizes, starts, steps }) => {
    const { shape } = c.type(0)
    // The end of a negative step may lie before the first element: counted from the end it stays before it.
    const ends = sizes.map((size, axis) => {
      const step = steps[axis] ?? 1
      const end = Dim.add(starts[axis] ?? 0, Dim.mul(size, step))
      return step > 0 ? end : Dim.sub(end, shape[axis] ?? 0)
    })
    const axes = shape.flatMap((dim, axis) => {
      const isWhole = starts[axis] === 0 && steps[axis] === 1 && Dim.equal(sizes[axis] ?? 0, dim) === true
      return isWhole ? [] : [axis]
    })
    const at = <A>(list: ReadonlyArray<A>): ReadonlyArray<A> => list.filter((_, axis) => axes.includes(axis))
    if (axes.length === 0) c.result("Identity", c.inputs)
    else c.result("Slice", [...c.inputs, c.dims(at(starts)), c.dims(at(ends)), c.integers(axes), c.integers(at(steps))])
  }),
  define(Ops.pad, (c, { after, before, mode }) => {
    const [x = "", value = ""] = c.inputs
    c.result("Pad", [x, c.dims([...before, ...after]), value], { mode })
  }),
  define(Ops.concat, (c, { axis }) => c.result("Concat", c.inputs, { axis })),
  define(Ops.reverse, (c, { axes }) => {
    const all = (value: number): string => c.integers(axes.map(() => value))
    c.result("Slice", [...c.inputs, all(-1), all(Number.MIN_SAFE_INTEGER), c.integers(axes), all(-1)])
  }),
  define(Ops.gather, (c, { axis }) => c.result("Gather", c.inputs, { axis })),
  define(Ops.gatherElements, (c, { axis }) => c.result("GatherElements", c.inputs, { axis })),
  define(Ops.gatherNd, (c, { batchDims }) => c.result("GatherND", c.inputs, { batch_dims: batchDims })),
  define(Ops.scatterElements, (c, { axis, reduction }) => c.result("ScatterElements", c.inputs, { axis, reduction })),
  define(Ops.scatterNd, (c, { reduction }) => c.result("ScatterND", c.inputs, { reduction })),
  define(Ops.sizes, (c, { scalar, values }) => {
    const [first] = values
    c.result("Identity", [scalar && first !== undefined ? c.dim(first) : c.dims(values)])
  }),
  define(Ops.readDims, (c) => c.result("Identity", c.inputs)),
  define(Ops.iota, (c, { dtype, size }) => {
    const code = ElementType.toDataType(dtype).code
    const count = c.dim(size)
    if (dtype === "i64" || !rangeTypes.has(dtype)) {
      const steps = [c.scalar("i64", 0), count, c.scalar("i64", 1)]
      if (dtype === "i64") c.result("Range", steps)
      else c.result("Cast", [c.add("Range", steps)], { to: code })
    } else c.result("Range", [c.scalar(dtype, 0), c.add("Cast", [count], { to: code }), c.scalar(dtype, 1)])
  }),
  define(Ops.nonZero, (c) => c.result("NonZero", c.inputs)),
  define(Ops.unique, (c, { axis, sorted }) =>
    c.result("Unique", c.inputs, { axis: axis ?? undefined, sorted: sorted ? 1 : 0 }, 4)
  ),
  define(Ops.nonMaxSuppression, (c, { format }) =>
    c.result("NonMaxSuppression", c.inputs, { center_point_box: format === "center" ? 1 : 0 })
  ),
  define(Ops.randomUniform, (c, { dtype, seed, shape }) =>
    random(c, shape, "RandomUniform", ElementType.toDataType(dtype).code, seed)
  ),
  define(Ops.randomNormal, (c, { dtype, seed, shape }) =>
    random(c, shape, "RandomNormal", ElementType.toDataType(dtype).code, seed)
  )
]
