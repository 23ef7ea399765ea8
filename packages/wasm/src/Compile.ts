/**
 * Compile: a graph to the sections of an engine: plan a program for each point of sizes, choose a kernel for each region,
 * write the code.
 *
 *   graph ── Points ── Plan.plan ── candidates ── Tuner.decide ── Assemble ── payload
 *
 * Pure in graph, options and decisions: the same ones give the same bytes on every machine.
 */
import type { Payload } from "@anneal/engine/Engine"
import * as Engine from "@anneal/engine/Engine"
import type { Profile } from "@anneal/engine/Manifest"
import type { Graph } from "@anneal/ir/Graph"
import * as Graphs from "@anneal/ir/Graph"
import type { Decisions } from "@anneal/lower/Decisions"
import * as MemoryPlan from "@anneal/lower/MemoryPlan"
import * as Plan from "@anneal/lower/Plan"
import type { Program, Step } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as RegionKey from "@anneal/lower/RegionKey"
import * as Report from "@anneal/lower/Report"
import type { Rules } from "@anneal/lower/Rules"
import * as Space from "@anneal/lower/Space"
import type { Candidate, Choice, Decision, LockMiss, TunerError } from "@anneal/pipeline/Tuner"
import * as Tuners from "@anneal/pipeline/Tuner"
import * as Effect from "effect/Effect"
import * as Assemble from "./Assemble.ts"
import * as Candidates from "./Candidates.ts"
import type { Features } from "./Emission.ts"
import * as ExamSizes from "./ExamSizes.ts"
import type { Kernel } from "./Kernel.ts"
import type { Subject } from "./measure/Trial.ts"
import type { Validate } from "./measure/Validation.ts"
import * as NoKernel from "./NoKernel.ts"
import type { Packs } from "./PackedConstants.ts"
import * as Payloads from "./Payloads.ts"
import type { Point } from "./Points.ts"
import * as Preparation from "./Preparation.ts"
import * as Points from "./Points.ts"
import * as Target from "./Target.ts"

export interface Options {
  readonly profiles?: ReadonlyArray<Profile>
  /** What code is written for. The first is tuned; the others follow its decisions where they can. Default: relaxed, plain. */
  readonly flavours?: ReadonlyArray<Features>
  /** Name of the variant; its sections are named after it. */
  readonly variant?: string
  /** Fusions that are not to be made, and layouts that are. */
  readonly lowering?: Pick<Decisions, "fusionsOff" | "layouts">
  /** Where kernels come from. Default: all of ours, `Candidates.sources`. */
  readonly sources?: ReadonlyArray<Candidates.Source>
  /** Nodes that kernels of `sources` compute whole, beside those that ours do. */
  readonly claims?: Rules["claims"]
  /** The programs, where `plan` has made them already of the same graph with the same options. */
  readonly made?: Made
  /** Holds the kernels that were decided against their regions' definitions; absent: a tuner that measures has done it. */
  readonly validate?: Validate
}

/** A program with what there is to decide in it. */
export interface Planned {
  readonly point: Point
  readonly program: Program
  /** The regions in the order of their first step; equal keys once. */
  readonly choices: ReadonlyArray<Choice>
}

export interface Compiled {
  readonly payload: ReadonlyArray<Payload>
  readonly decisions: ReadonlyArray<Decision>
  readonly programs: ReadonlyArray<Planned>
}

const generatorOf = (features: Features): RegionKey.Generator => ({
  target: Target.name,
  features: [...Payloads.featureNames(features), ...(features.wide ? ["wide"] : [])],
  version: String(Payloads.generator)
})

/** Every region of a program, those of branches and of the preparation too. */
export const regionsOf = (program: Program): ReadonlyArray<Region> =>
  [...MemoryPlan.flatten(program.prepare), ...MemoryPlan.flatten(program.steps)].flatMap((step) =>
    step.kind === "region" ? [step.region] : []
  )

const candidateOf = ({ config, cost, name }: Kernel): Candidate => ({
  name,
  config,
  ...(Number.isFinite(cost) ? { cost } : {})
})

/** Kernels by region and flavour, each list made once. */
export class Offers {
  readonly #sources: ReadonlyArray<Candidates.Source>
  readonly #known = new Map<string, ReadonlyArray<Kernel>>()
  readonly #keys = new Map<Program, Map<Region, Map<Features, string>>>()
  /** Constants that decided kernels read, packed. */
  readonly packs: Packs = new Map()

  constructor(sources: ReadonlyArray<Candidates.Source>) {
    this.#sources = sources
  }

  /** The key of the decision about a region. */
  key(region: Region, program: Program, features: Features): string {
    const ofProgram = this.#keys.get(program) ?? new Map<Region, Map<Features, string>>()
    this.#keys.set(program, ofProgram)
    const ofRegion = ofProgram.get(region) ?? new Map<Features, string>()
    ofProgram.set(region, ofRegion)
    const made = ofRegion.get(features) ?? RegionKey.make(region, program.buffers, generatorOf(features))
    ofRegion.set(features, made)
    return made
  }

  of(
    region: Region,
    { point, program }: Pick<Planned, "point" | "program">,
    features: Features
  ): ReadonlyArray<Kernel> {
    // Packing is by constants, which regions of one key may have different ones of: kernels are made for each region.
    const key = `${this.key(region, program, features)} ${region.id} ${[...program.fixed].join()}`
    const found = this.#known.get(key) ?? this.#make(region, program, point, features)
    this.#known.set(key, found)
    return found
  }

  #make(region: Region, program: Program, point: Point, features: Features): ReadonlyArray<Kernel> {
    const from = (sources: ReadonlyArray<Candidates.Source>): ReadonlyArray<Kernel> =>
      Candidates.candidates(region, point.typical, features, sources).filter((kernel) =>
        // What is not a constant of the model cannot be packed before it is loaded.
        kernel.packed.every(({ read }) => {
          const view = Candidates.readOf(region, read)
          return view !== undefined && program.buffers.get(view.buffer)?.kind === "constant"
        })
      )
    const found = from(this.#sources)
    return found.length > 0 ? found : from(Candidates.lastResorts)
  }
}

/** A choice with the candidates that every region of its key has. */
const common = (choice: Choice, others: ReadonlyArray<Candidate>): Choice => {
  const offered = new Set(others.map(Tuners.identify))
  const candidates = choice.candidates.filter((one) => offered.has(Tuners.identify(one)))
  return candidates.length === choice.candidates.length ? choice : { ...choice, candidates }
}

/**
 * What a region of a program for other sizes than the first's weighs, where tuning has little time: the first is for the
 * sizes that the engine is wanted for.
 */
const OTHERS = 1 / 16

/** The fusion that made a region one of integers. */
const integersOf = ({ members }: Region, { fusions }: Program): string | undefined => {
  const made = new Set(members.flatMap(({ outputs }) => outputs.map(({ id }) => id)))
  return fusions.find((one) => one.kind === "integer" && one.taken && made.has(one.members.at(-1) ?? ""))?.id
}

/** Rounds in which nodes without a kernel are left to the host. */
const rounds = 8

/** Plans a program in which every region has a kernel in every flavour. */
const planAt = (
  graph: Graph,
  point: Point,
  flavours: ReadonlyArray<Features>,
  offers: Offers,
  { claims, lowering = { fusionsOff: [], layouts: {} } }: Pick<Options, "claims" | "lowering">,
  share: number
): Planned => {
  const without = new Map<string, string>()
  const refuses = (node: Graphs.Node): string | undefined => without.get(node.outputs[0]?.id ?? "")
  const onFloats = new Set<string>()
  for (let round = 0; ; round++) {
    const decisions: Decisions = { ...lowering, fusionsOff: [...lowering.fusionsOff, ...onFloats], tactics: {} }
    const space = Space.make(graph, Target.rules({ refuses, ...(claims === undefined ? {} : { claims }) }))
    const program = Plan.plan(space, decisions, { fixed: point.fixed })
    const [first = Target.plain] = flavours
    const choices = new Map<string, Choice>()
    const weights = new Map<string, number>()
    let missing = 0
    for (const region of regionsOf(program)) {
      const lists = flavours.map((features) => offers.of(region, { point, program }, features))
      const last = region.members.at(-1)
      if (lists.some((list) => list.length === 0)) {
        missing++
        // Integers that no kernel multiplies are floats that one may.
        const fusion = integersOf(region, program)
        if (fusion !== undefined && !onFloats.has(fusion)) {
          onFloats.add(fusion)
          continue
        }
        const why = NoKernel.why(region, program.buffers)
        for (const { outputs } of region.members) without.set(outputs[0]?.id ?? "", why)
        continue
      }
      const key = offers.key(region, program, first)
      const least = Math.min(...(lists[0] ?? []).map(({ cost }) => cost))
      weights.set(key, (weights.get(key) ?? 0) + (Number.isFinite(least) ? share * least : 0))
      const known = choices.get(key)
      if (known !== undefined) {
        choices.set(key, common(known, (lists[0] ?? []).map(candidateOf)))
        continue
      }
      choices.set(key, {
        key,
        node: last === undefined ? `%${region.id}` : Graphs.nodeName(last),
        candidates: (lists[0] ?? []).map(candidateOf)
      })
    }
    if (missing === 0) {
      const weighed = [...choices.values()].map(({ candidates, key, node }): Choice => ({
        key,
        node,
        candidates,
        weight: weights.get(key) ?? 0
      }))
      return { point, program, choices: weighed }
    }
    if (round === rounds) throw new Error(`${missing} regions have no kernel, and their nodes are not left to the host`)
  }
}

const layouts = ({ packed }: Kernel): string => packed.map(({ layout, read }) => `${read} ${layout}`).join()

/**
 * The kernel that was decided, or the nearest to it that the flavour has: one that reads the same packed weights, so that
 * they are in the engine once, or else one of the same name. 256-bit vectors want other shapes than those that were decided
 * for 128 bits: of the same name, the one that is predicted to be fastest.
 */
const kernelFor = (
  list: ReadonlyArray<Kernel>,
  { wide }: Features,
  candidate: Candidate,
  decidedOn: Kernel | undefined
): Kernel => {
  const wanted = Tuners.identify(candidate)
  const alike = decidedOn === undefined ? undefined : layouts(decidedOn)
  const named = list.filter(({ name }) => name === candidate.name)
  const kernel =
    (wide ? named[0] : list.find((one) => Tuners.identify(one) === wanted)) ??
    named.find((one) => layouts(one) === alike) ??
    (alike === "" ? undefined : list.find((one) => layouts(one) === alike)) ??
    named[0] ??
    list[0]
  if (kernel === undefined) throw new Error(`there is no kernel ${wanted}`)
  return kernel
}

const decided = (program: Program, tactic: (region: Region) => Candidate): Program => {
  const visit = (steps: ReadonlyArray<Step>): ReadonlyArray<Step> =>
    steps.map((step) => {
      if (step.kind === "region") return { kind: "region", region: step.region, tactic: tactic(step.region) }
      if (step.kind === "host") return step
      const { condition, node, whenFalse, whenTrue } = step
      return { kind: "branch", node, condition, whenTrue: visit(whenTrue), whenFalse: visit(whenFalse) }
    })
  return { ...program, prepare: visit(program.prepare), steps: visit(program.steps) }
}

/** The programs of a graph, and the kernels of their regions. */
export interface Made {
  readonly planned: ReadonlyArray<Planned>
  readonly offers: Offers
}

/** The programs of a graph and what is to decide in them; nothing is decided yet. */
export const plan = (graph: Graph, options: Options = {}): Made => {
  const { flavours = defaultFlavours, profiles = [] } = options
  const offers = new Offers(options.sources ?? Candidates.sources)
  const planned = Points.points(graph, profiles).map((point, place) =>
    planAt(graph, point, flavours, offers, options, place === 0 ? 1 : OTHERS)
  )
  return { planned, offers }
}

/** The region, program and kernels of each choice, for measuring: by the choice's key. */
export const subjects = (
  planned: ReadonlyArray<Planned>,
  offers: Offers,
  features: Features
): ReadonlyMap<string, Subject> => {
  const found = new Map<string, Subject>()
  for (const { point, program } of planned) {
    const sizes = ExamSizes.of(program.graph, point)
    for (const region of regionsOf(program)) {
      const key = offers.key(region, program, features)
      if (!found.has(key))
        found.set(key, {
          region,
          program,
          typical: point.typical,
          further: ExamSizes.forRegion(region, sizes, point.typical),
          kernels: offers.of(region, { point, program }, features)
        })
    }
  }
  return found
}

export const defaultFlavours: ReadonlyArray<Features> = [Target.relaxed, Target.plain]

/** Each key once, as the first program has it. */
const choicesOf = (planned: ReadonlyArray<Planned>): ReadonlyMap<string, Choice> => {
  const choices = new Map<string, Choice>()
  for (const one of planned)
    for (const choice of one.choices) {
      const known = choices.get(choice.key)
      choices.set(choice.key, known === undefined ? choice : common(known, choice.candidates))
    }
  return choices
}

/** Regions whose decision is none of the kernels that they have in the flavour that was decided for: all of them. */
const notOffered = (
  planned: ReadonlyArray<Planned>,
  offers: Offers,
  features: Features,
  decisions: ReadonlyArray<Decision>
): ReadonlyArray<Tuners.Miss> => {
  const tactics = new Map(decisions.map(({ candidate, key }) => [key, Tuners.identify(candidate)]))
  return planned.flatMap((one) =>
    regionsOf(one.program).flatMap((region): ReadonlyArray<Tuners.Miss> => {
      const key = offers.key(region, one.program, features)
      const wanted = tactics.get(key)
      const list = offers.of(region, one, features)
      if (wanted !== undefined && list.some((kernel) => Tuners.identify(kernel) === wanted)) return []
      const last = region.members.at(-1)
      const node = last === undefined ? `%${region.id}` : Graphs.nodeName(last)
      return [
        wanted === undefined
          ? { reason: "Absent", key, node, detail: `nothing was decided for %${region.id}` }
          : {
              reason: "NotOffered",
              key,
              node,
              detail: `${wanted} was decided, which is none of the ${list.length} kernels of %${region.id}`
            }
      ]
    })
  )
}

/** Plans, lets the tuner decide, and writes the code. A decision that a region cannot follow fails, with all the others. */
export const compile = (
  graph: Graph,
  options: Options = {}
): Effect.Effect<Compiled, TunerError | LockMiss, Tuners.Tuner> =>
  Effect.gen(function* () {
    const tuner = yield* Tuners.Tuner
    const { flavours = defaultFlavours } = options
    const { offers, planned } = yield* Effect.sync(() => options.made ?? plan(graph, options))
    const choices = choicesOf(planned)
    const tuned = yield* tuner.decide([...choices.values()])
    const { validate } = options
    const decisions =
      validate === undefined
        ? tuned
        : yield* validated(planned, offers, flavours[0] ?? Target.plain, choices, tuned, validate)
    const misses = notOffered(planned, offers, flavours[0] ?? Target.plain, decisions)
    if (misses.length > 0) return yield* new Tuners.LockMiss({ misses })
    return yield* Effect.sync(() =>
      write(planned, offers, flavours, decisions, choices, options.variant ?? Target.name)
    )
  })

const validated = (
  planned: ReadonlyArray<Planned>,
  offers: Offers,
  features: Features,
  choices: ReadonlyMap<string, Choice>,
  decisions: ReadonlyArray<Decision>,
  validate: Validate
): ReturnType<Validate> => {
  const known = subjects(planned, offers, features)
  // What is packed to be examined is what is written after it.
  const subject = (key: string): Subject | undefined => {
    const found = known.get(key)
    return found === undefined ? undefined : { ...found, packs: offers.packs }
  }
  return validate({ features, choices, decisions, subject })
}

/**
 * Writes the code again by decisions that were made before. A region whose key is not among them (a weight of other
 * content may change what is known of it) gets the kernel that is predicted to be fastest.
 */
export const again = (
  graph: Graph,
  known: ReadonlyMap<string, Candidate>,
  options: Options = {}
): ReadonlyArray<Payload> => {
  const { flavours = defaultFlavours, variant = Target.name } = options
  const { offers, planned } = plan(graph, options)
  const choices = choicesOf(planned)
  const decisions = [...choices.values()].flatMap(({ candidates, key }): ReadonlyArray<Decision> => {
    const before = known.get(key)
    const wanted = before === undefined ? undefined : Tuners.identify(before)
    const candidate =
      candidates.find((one) => Tuners.identify(one) === wanted) ?? candidates.toSorted(Tuners.byPrediction)[0]
    return candidate === undefined ? [] : [{ key, candidate }]
  })
  return write(planned, offers, flavours, decisions, choices, variant).payload
}

const write = (
  planned: ReadonlyArray<Planned>,
  offers: Offers,
  flavours: ReadonlyArray<Features>,
  decisions: ReadonlyArray<Decision>,
  choices: ReadonlyMap<string, Choice>,
  variant: string
): Compiled => {
  const tactics = new Map(decisions.map(({ candidate, key }) => [key, candidate]))
  const [first = Target.plain] = flavours
  const { packs } = offers
  const units: Array<Payloads.Compiled> = []
  const reports: Array<Payload> = []
  for (const [place, one] of planned.entries()) {
    const { point, program } = one
    const tacticOf = (region: Region): Candidate => {
      const found = tactics.get(offers.key(region, program, first))
      if (found === undefined) throw new Error(`nothing was decided for %${region.id}`)
      return found
    }
    const kernelOf =
      (features: Features) =>
      (region: Region): Kernel => {
        const tactic = tacticOf(region)
        const wanted = Tuners.identify(tactic)
        const decidedOn = offers.of(region, one, first).find((other) => Tuners.identify(other) === wanted)
        return kernelFor(offers.of(region, one, features), features, tactic, decidedOn)
      }
    const prepared = Preparation.of(program, kernelOf(Target.plain))
    const written = prepared?.program ?? program
    for (const features of flavours) {
      const kernel = kernelOf(features)
      units.push({ fixed: point.fixed, features, assembled: Assemble.assemble(written, { features, kernel, packs }) })
    }
    const report = Report.of(decided(program, tacticOf), {
      typical: point.typical,
      choice: (region) => choices.get(offers.key(region, program, first)),
      memory: Assemble.memoryPlan(program, kernelOf(first)),
      ...(prepared === undefined ? {} : { preparation: { stored: prepared.stored, why: prepared.why } })
    })
    reports.push(Engine.payload(`anneal/report/${variant}/${place}`, "report", Report.encode(report)))
  }
  return { payload: [...Payloads.of(variant, units), ...reports], decisions, programs: planned }
}
