// The laws of a target's description, and of what runs its graphs:
//
//   yield* TargetLaws.check(myTarget)
//   yield* ExecutableLaws.check((graph) => compileFor(myTarget, graph))
import * as DType from "@anneal/ir/DType"
import * as Op from "@anneal/ir/Op"
import * as Ops from "@anneal/ir/Ops"
import type { QuantScheme, TargetService } from "@anneal/pipeline/Target"
import * as Effect from "effect/Effect"
import { Breaches, LawsBroken } from "./LawsBroken.ts"

const describe = ({ bits, granularity, range, symmetric }: QuantScheme): string =>
  `${bits} bits, ${symmetric ? "symmetric" : "with zero point"}, per ${granularity.per}, ${range}`

/**
 * - identified: it has a name, and an identity, or nothing that is built for it is cached.
 * - features: sorted, each once, so that they can be part of a key.
 * - schemes: blocks have a size, values use no more bits than they have; no scheme is there twice.
 * - supports: the same answer each time, for every built-in op; addition and multiplication run in some type, since they
 *   have no expansion to fall back on.
 * - memory: no negative limits, and none for one allocation above the total.
 */
export const check = (target: TargetService): Effect.Effect<void, LawsBroken> =>
  Effect.suspend(() => {
    const breaches = new Breaches()
    const add = (law: string, detail: string): void => breaches.add(law, target.name, detail)
    if (target.name === "") add("identified", "it has no name")
    if (target.identity === undefined) add("identified", "it has no identity: nothing built for it is cached")
    const sorted = [...new Set(target.features)].toSorted((a, b) => (a < b ? -1 : 1))
    if (sorted.join("\n") !== target.features.join("\n"))
      add("features", `[${target.features.join(", ")}] should be [${sorted.join(", ")}]`)
    for (const side of ["activations", "weights"] as const) {
      const schemes = target.quantization[side]
      if (new Set(schemes.map((scheme) => JSON.stringify(scheme))).size !== schemes.length)
        add("schemes", `a scheme for ${side} is there twice`)
      for (const scheme of schemes)
        if (scheme.granularity.per === "block" && scheme.granularity.size < 1)
          add("schemes", `${describe(scheme)}: a block of ${scheme.granularity.size}`)
      for (const scheme of schemes)
        if ((scheme.usedBits ?? scheme.bits) > scheme.bits)
          add("schemes", `${describe(scheme)}: values use ${scheme.usedBits} bits`)
    }
    for (const op of Ops.all) {
      const dtypes = [...op.operands.map(() => "f32" as const), "f32" as const]
      if (target.supports(op, dtypes) !== target.supports(op, dtypes))
        add("supports", `the answer for ${op.name} changes`)
    }
    const primitives = [Ops.add, Ops.mul].filter((op) => Op.isPrimitive(op))
    for (const op of primitives)
      if (!DType.all.some((dtype) => target.supports(op, [dtype, dtype, dtype])))
        add("supports", `${op.name} runs in no type, and it has no expansion`)
    const { perAllocation, total } = target.memory
    if ((total ?? 0) < 0 || (perAllocation ?? 0) < 0) add("memory", "a limit is negative")
    if (total !== undefined && perAllocation !== undefined && perAllocation > total)
      add("memory", `one allocation may take ${perAllocation} bytes of ${total}`)
    return breaches.found.length === 0
      ? Effect.void
      : Effect.fail(new LawsBroken({ subject: `target ${target.name}`, breaches: breaches.found }))
  })
