// Pooling: MaxPool, AveragePool, LpPool, their global forms, and MaxUnpool.
import * as Dim from "@anneal/ir/Dim"
import type { Value } from "@anneal/ir/Graph"
import * as Ops from "@anneal/ir/Ops"
import type { Context, Operator } from "../Operator.ts"
import * as Window from "./Window.ts"

const window = (c: Context, x: Value) => ({
  ...Window.of(c, x.type.shape.slice(2)),
  ceil: c.attribute.flag("ceil_mode", false)
})

/** The greatest of each window, and where it is. */
export const maximum = (c: Context, x: Value): ReadonlyArray<Value> => {
  const indexOrder = c.attribute.int("storage_order", 0) === 0 ? "rowMajor" : "columnMajor"
  return c.e.b.node(Ops.maxPool, [x], { ...window(c, x), indexOrder })
}

export const average = (c: Context, x: Value): Value =>
  c.e.b.one(Ops.averagePool, [x], { ...window(c, x), includePad: c.attribute.flag("count_include_pad", false) })

export const maxPool: Operator = {
  name: "MaxPool",
  since: [1, 8, 10, 11],
  translate: (c) => maximum(c, c.input(0))
}

export const averagePool: Operator = {
  name: "AveragePool",
  since: [1, 7, 10, 11, 19],
  translate: (c) => average(c, c.input(0))
}

/** (Σ|x|ᵖ)^(1/p) of each window, from the mean over whole windows of |x|ᵖ times their size. */
export const lpPool: Operator = {
  name: "LpPool",
  since: [1, 2, 11, 18],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const p = c.attribute.int("p", 2)
    const shape = window(c, x)
    const count = shape.kernel.reduce((product, extent) => product * extent, 1)
    const powers = e.binary(Ops.pow, e.abs(x), e.number(x, p))
    // Windows of a rounded-up extent may reach beyond the padding: explicit zeros make every window whole.
    const extra = shape.kernel.map((extent, axis) => (shape.ceil ? (shape.strides[axis] ?? 1) - 1 : 0))
    const before = [0, 0, ...shape.padsBegin]
    const after = [0, 0, ...shape.padsEnd.map((dim, axis) => Dim.add(dim, extra[axis] ?? 0))]
    const padded = e.b.one(Ops.pad, [powers], { before, after, mode: "constant" })
    const none = shape.kernel.map(() => 0)
    const mean = e.b.one(Ops.averagePool, [padded], {
      ...shape,
      padsBegin: none,
      padsEnd: none,
      ceil: false,
      includePad: true
    })
    return e.binary(Ops.pow, e.mul(mean, e.number(x, count)), e.number(x, 1 / p))
  }
}

const spatialAxes = (c: Context): ReadonlyArray<number> =>
  Array.from({ length: c.rank(0) - 2 }, (_, index) => index + 2)

export const globalAveragePool: Operator = {
  name: "GlobalAveragePool",
  since: [1],
  translate: (c) => c.e.mean(c.input(0), spatialAxes(c), true)
}

export const globalMaxPool: Operator = {
  name: "GlobalMaxPool",
  since: [1],
  translate: (c) => c.e.reduce(Ops.reduceMax, c.input(0), spatialAxes(c), true)
}

export const globalLpPool: Operator = {
  name: "GlobalLpPool",
  since: [1, 2],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const p = c.attribute.int("p", 2)
    const total = e.sum(e.binary(Ops.pow, e.abs(x), e.number(x, p)), spatialAxes(c), true)
    return e.binary(Ops.pow, total, e.number(x, 1 / p))
  }
}

/** Puts each element back where MaxPool found it; the rest is 0. */
export const maxUnpool: Operator = {
  name: "MaxUnpool",
  since: [9, 11],
  translate: (c) => {
    const { e } = c
    const x = c.input(0)
    const { kernel, padsBegin, padsEnd, strides } = Window.of(c, x.type.shape.slice(2))
    const natural = x.type.shape.map((dim, axis): Dim.Dim => {
      if (axis < 2) return dim
      const grown = Dim.add(Dim.mul(Dim.sub(dim, 1), strides[axis - 2] ?? 1), kernel[axis - 2] ?? 1)
      return Dim.sub(grown, Dim.add(padsBegin[axis - 2] ?? 0, padsEnd[axis - 2] ?? 0))
    })
    const shape = c.has(2) ? c.dims(2) : natural
    // The indices are flat positions in a tensor of the natural shape.
    const positions = e.reshape(c.input(1), [Dim.product(x.type.shape)])
    const strideOf = (dims: ReadonlyArray<Dim.Dim>, axis: number): Dim.Dim => Dim.product(dims.slice(axis + 1))
    let flat = positions
    if (c.has(2)) {
      flat = e.scalar("i64", 0)
      let rest = positions
      for (let axis = 0; axis < natural.length; axis++) {
        const stride = e.size(strideOf(natural, axis), "i64")
        flat = e.add(flat, e.mul(e.div(rest, stride), e.size(strideOf(shape, axis), "i64")))
        rest = e.b.one(Ops.mod, [rest, stride], { rounding: "floor" })
      }
    }
    const zeros = e.expand(e.number(x, 0), [Dim.product(shape)])
    const values = e.reshape(x, [Dim.product(x.type.shape)])
    return e.reshape(e.b.one(Ops.scatterElements, [zeros, flat, values], { axis: 0, reduction: "none" }), shape)
  }
}

export const all: ReadonlyArray<Operator> = [
  maxPool,
  averagePool,
  lpPool,
  globalAveragePool,
  globalMaxPool,
  globalLpPool,
  maxUnpool
]
