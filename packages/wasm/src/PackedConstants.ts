/**
 * PackedConstants: constants in the forms that kernels read, each made once, however many programs read it.
 */
import type { Constant } from "@anneal/ir/Constant"
import { sha256 } from "@anneal/ir/Digest"
import * as Dim from "@anneal/ir/Dim"
import type { View } from "@anneal/lower/View"
import * as Elements from "./Elements.ts"
import type { Packed } from "./Kernel.ts"
import type { Walk } from "./Packing.ts"
import * as Packing from "./Packing.ts"

/** A constant in the form that some kernel reads. */
export interface PackedConstant {
  /** SHA-256 of the bytes. */
  readonly digest: string
  readonly bytes: Uint8Array
  /** Digest of what it was made from. */
  readonly constant: string
  readonly layout: string
  /** How it is made from the constant while loading; undefined: its bytes have to be kept. */
  readonly walk?: Walk
}

/** Packed constants by what they are made of. Programs that share one pack each weight once. */
export type Packs = Map<string, PackedConstant>

/** A constant that lowering computed, as it is. */
export const computed = (constant: Constant): PackedConstant => ({
  digest: constant.digest,
  bytes: constant.bytes(),
  constant: constant.digest,
  layout: "computed"
})

const viewText = ({ dtype, shape, strides }: View): string =>
  `${dtype}[${shape.map(Dim.format).join()}](${strides.map(Dim.format).join()})`

/** What of a constant the packed form shows: equal keys give equal bytes. */
const key = (packed: Packed, view: View, constant: Constant): string =>
  `${constant.digest} ${Dim.format(view.offset)} ${viewText(view)} ${packed.layout}`

/** Packs what a view shows of a constant. Throws where a kernel packs other than it announced. */
const make = (packed: Packed, view: View, constant: Constant): PackedConstant => {
  const elements = Elements.read(view, constant)
  const bytes = packed.pack(elements)
  if (bytes.length !== packed.bytes)
    throw new Error(`${packed.layout} announced ${packed.bytes} bytes and packed ${bytes.length}`)
  const walk = Packing.find(packed, view, constant, elements, bytes)
  const { digest } = constant
  return {
    digest: sha256(bytes),
    bytes,
    constant: digest,
    layout: packed.layout,
    ...(walk === undefined ? {} : { walk })
  }
}

/** What a view shows of a constant, packed: from the ones that are made, or made now. */
export const of = (packs: Packs, packed: Packed, view: View, constant: Constant): PackedConstant => {
  const name = key(packed, view, constant)
  const made = packs.get(name) ?? make(packed, view, constant)
  packs.set(name, made)
  return made
}
