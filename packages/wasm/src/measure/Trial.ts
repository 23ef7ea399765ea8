/**
 * Trial: a candidate with everything that it needs known: its code as a module, its packed constants, its sizes.
 */
import type { Bindings } from "@anneal/ir/Bind"
import type { Dim } from "@anneal/ir/Dim"
import * as Dims from "@anneal/ir/Dim"
import type { DType } from "@anneal/ir/DType"
import * as DTypes from "@anneal/ir/DType"
import type { Program } from "@anneal/lower/Program"
import type { Region } from "@anneal/lower/Region"
import * as Regions from "@anneal/lower/Region"
import type { View } from "@anneal/lower/View"
import * as Elements from "../Elements.ts"
import type { Features } from "../Emission.ts"
import { Emission } from "../Emission.ts"
import type { Kernel } from "../Kernel.ts"
import { ModuleBuilder } from "../ModuleBuilder.ts"
import type { Packs } from "../PackedConstants.ts"
import * as PackedConstants from "../PackedConstants.ts"
import * as Placing from "./Placing.ts"
import type { Block, Call } from "./Protocol.ts"

/** One thing to measure: a region of a program, at the sizes that it is tuned for. */
export interface Subject {
  readonly region: Region
  readonly program: Program
  /** Values of the symbols that the program leaves free. */
  readonly typical: Bindings
  /** Other sizes, at which what is right at the typical ones may not be. Default: none. */
  readonly further?: ReadonlyArray<Bindings>
  readonly kernels: ReadonlyArray<Kernel>
  /** Where what is packed is kept for others; default: nowhere, as most candidates are looked at once. */
  readonly packs?: Packs
}

/** Sizes of a subject's region. Throws where one is not known. */
export const sizesOf =
  ({ typical }: Pick<Subject, "typical">) =>
  (dim: Dim): number => {
    const value = Dims.evaluate(dim, typical)
    if (value === undefined) throw new RangeError(`the size ${Dims.format(dim)} is not known`)
    return value
  }

/** A candidate with everything that it needs known. */
export class Trial {
  readonly #subject: Subject
  readonly #kernel: Kernel
  readonly #features: Features
  readonly #inPackedForm: ReadonlySet<number>
  readonly size: (dim: Dim) => number
  readonly module: Uint8Array
  readonly packed: ReadonlyArray<Uint8Array>
  readonly units: number

  /** `made`: the same candidate for other sizes, whose code and packed constants it has. */
  constructor(subject: Subject, kernel: Kernel, features: Features, made?: Pick<Trial, "module" | "packed">) {
    this.#subject = subject
    this.#kernel = kernel
    this.#features = features
    this.#inPackedForm = new Set(kernel.packed.map(({ read }) => read))
    this.size = sizesOf(subject)
    this.module = made?.module ?? this.#write()
    this.packed = made?.packed ?? this.#pack()
    this.units = this.size(kernel.units)
  }

  /** The same candidate at other sizes. */
  at(sizes: Bindings): Trial {
    return new Trial({ ...this.#subject, typical: sizes }, this.#kernel, this.#features, this)
  }

  #pack(): ReadonlyArray<Uint8Array> {
    const subject = this.#subject
    return this.#kernel.packed.map((one) => {
      const view = Regions.reads(subject.region)[one.read]
      const constant =
        view === undefined || view === null ? undefined : subject.program.buffers.get(view.buffer)?.constant
      if (view === undefined || view === null || constant === undefined)
        throw new RangeError(`${one.layout} packs operand ${one.read}, which is no constant`)
      if (subject.packs !== undefined)
        return Placing.shared(PackedConstants.of(subject.packs, one, view, constant).bytes)
      const bytes = one.pack(Elements.read(view, constant))
      if (bytes.length !== one.bytes)
        throw new RangeError(`${one.layout} announced ${one.bytes} bytes and packed ${bytes.length}`)
      return Placing.shared(bytes)
    })
  }

  #write(): Uint8Array {
    const module = new ModuleBuilder({ shared: false, maximumPages: 65_536 })
    const symbols = new Map(
      this.#subject.program.symbols.map((name) => [name, module.importGlobal(`symbol ${name}`, "i32")])
    )
    const func = this.#kernel.emit(new Emission(module, this.#features, symbols), "candidate")
    module.func(
      "kernel",
      func.params,
      [],
      (f, params) =>
        f.run(
          func,
          params.map((local) => f.get(local))
        ),
      { export: true }
    )
    return module.toBytes()
  }

  get symbols(): Readonly<Record<string, number>> {
    const { program, typical } = this.#subject
    return Object.fromEntries(program.symbols.map((name) => [`symbol ${name}`, typical.get(name) ?? 0]))
  }

  /** What it reads as it is, and what it writes. */
  get buffers(): ReadonlySet<string> {
    const { region } = this.#subject
    const read = Regions.reads(region).filter((_, place) => !this.#inPackedForm.has(place))
    return new Set([...read, ...Regions.writes(region)].flatMap((view) => (view === null ? [] : [view.buffer])))
  }

  bufferBytes(id: string): { readonly bytes: number; readonly dtype: DType } {
    const buffer = this.#subject.program.buffers.get(id)
    if (buffer === undefined) throw new RangeError(`there is no buffer %${id}`)
    return { bytes: this.size(buffer.size) * DTypes.slotBytes(buffer.dtype), dtype: buffer.dtype }
  }

  get scratchBytes(): number {
    return this.size(this.#kernel.scratch)
  }

  /** The arguments before `begin` and `end`. */
  arguments(blocks: ReadonlyMap<string, Block>, packed: ReadonlyArray<Block>, scratch: Block): Call {
    const { region } = this.#subject
    const address = (view: View | null): number =>
      view === null
        ? 0
        : (blocks.get(view.buffer)?.address ?? 0) + this.size(view.offset) * DTypes.slotBytes(view.dtype)
    return [
      ...Regions.reads(region).map((view, read) => (this.#inPackedForm.has(read) ? 0 : address(view))),
      ...Regions.writes(region).map(address),
      ...packed.map((block) => block.address),
      scratch.address
    ]
  }
}
