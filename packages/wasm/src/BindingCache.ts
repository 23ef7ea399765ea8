/**
 * BindingCache: the bindings of a session for the shapes that came last. They use one arena in turns, so no two runs of one
 * cache may be under way at once.
 */
import type { Binding } from "./Binding.ts"
import { Arena } from "./Binding.ts"
import type { Heap } from "./Heap.ts"

/** Bindings that are kept for shapes that come again. */
const kept = 8

type Shapes = ReadonlyArray<ReadonlyArray<number>>

const areSame = (a: Shapes, b: Shapes): boolean => {
  for (let place = 0; place < a.length; place++) {
    const [one, other] = [a[place] ?? [], b[place] ?? []]
    if (one.length !== other.length) return false
    for (let axis = 0; axis < one.length; axis++) if (one[axis] !== other[axis]) return false
  }
  return a.length === b.length
}

export class BindingCache {
  readonly arena: Arena
  /** By the shapes of the inputs, the one used last at the end. */
  #entries: Array<{ readonly shapes: Shapes; readonly binding: Binding }> = []

  constructor(heap: Heap) {
    this.arena = new Arena(heap)
  }

  get all(): ReadonlyArray<Binding> {
    return this.#entries.map(({ binding }) => binding)
  }

  /** The binding for these shapes, where there is one. */
  find(shapes: Shapes): Binding | undefined {
    const last = this.#entries.length - 1
    for (let place = last; place >= 0; place--) {
      const one = this.#entries[place]
      if (one === undefined || !areSame(one.shapes, shapes)) continue
      if (place !== last) {
        this.#entries.splice(place, 1)
        this.#entries.push(one)
      }
      return one.binding
    }
    return undefined
  }

  /** Keeps a binding; the one that was not used for longest goes where there are many. */
  keep(shapes: Shapes, binding: Binding): void {
    while (this.#entries.length >= kept) this.#entries.shift()?.binding.release()
    this.#entries.push({ shapes: shapes.map((shape) => [...shape]), binding })
  }

  release(): void {
    for (const { binding } of this.#entries) binding.release()
    this.#entries = []
    this.arena.release()
  }
}
