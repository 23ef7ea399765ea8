// A kernel of the plug-in's own for the generated WebAssembly: squaredRelu whole, four elements at once.
//
//   y[i] = max(x[i], 0)²
//
// It says what it takes (contiguous f32), what it will cost, how it can be divided among threads (blocks of 4,096 elements),
// and writes its code. anneal does the rest: it is checked against the oracle before it is used, timed when the build tunes,
// threaded, and named in locks and reports as `@anneal-examples/squared-relu@1.0.0/squared-relu`.
import { IR, Lower, Wasm } from "anneal"

const { f32, f32x4, i32, select, v128 } = Wasm.Instruction

/** Elements of a unit. */
const block = 4096

/** The address of an element of four bytes. */
const element = (base: Wasm.Instruction.I32, index: Wasm.Instruction.I32) => i32.add(base, i32.shl(index, i32.const(2)))

/** What `Wasm.Kernel` says kernels take: i32 addresses of x, of y and of scratch memory, then the units to compute. */
const parameters = ["i32", "i32", "i32", "i32", "i32"] as const

const emit =
  (count: IR.Dim.Dim) =>
  (emission: Wasm.Emission.Emission, name: string): Wasm.ModuleBuilder.Func =>
    emission.module.func(name, parameters, [], (f) => {
      const parameter = (index: number) => f.get({ type: "i32", index } as const)
      const [x, y, begin, end] = [parameter(0), parameter(1), parameter(3), parameter(4)]
      // A number where the size is fixed; else the session sets it before a run.
      const total = emission.hoisted(f, count)
      const zero = f.constant(f32x4.splat(f32.const(0)))
      f.range(begin, end, 1, (unit) => {
        const first = f.get(f.let(i32.mul(f.get(unit), i32.const(block))))
        const wanted = i32.add(first, i32.const(block))
        const last = f.get(f.let(select(i32.lt_s(wanted, total), wanted, total)))
        const tail = f.get(f.let(i32.sub(last, i32.rem_u(i32.sub(last, first), i32.const(4)))))
        f.range(first, tail, 4, (i) => {
          const positive = f.get(f.let(f32x4.max(v128.load(element(x, f.get(i))), zero)))
          f.do(v128.store(element(y, f.get(i)), f32x4.mul(positive, positive)))
        })
        f.range(tail, last, 1, (i) => {
          const positive = f.get(f.let(f32.max(f32.load(element(x, f.get(i))), f32.const(0))))
          f.do(f32.store(element(y, f.get(i)), f32.mul(positive, positive)))
        })
      })
    })

/** The kernel for a region, where it is a squaredRelu of contiguous f32. */
export const candidates =
  (op: string): Wasm.Candidates.Source =>
  (region, typical) => {
    if (region.kind !== "whole" || region.node.op.name !== op) return []
    const [x] = region.operands
    const [y] = region.results
    if (x === undefined || x === null || y === undefined || y === null || x.dtype !== "f32") return []
    if (!Lower.View.isContiguous(x) || !Lower.View.isContiguous(y)) return []
    const count = IR.Dim.product(x.shape)
    return [
      {
        name: "squared-relu",
        config: { block },
        // A nanosecond for each of the vectors, and what a call takes.
        cost: (IR.Dim.evaluate(count, typical) ?? 1) / 4 + 20,
        packed: [],
        scratch: 0,
        units: IR.Dim.ceilDiv(count, block),
        emit: emit(count)
      }
    ]
  }
