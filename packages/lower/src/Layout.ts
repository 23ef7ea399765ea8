/**
 * Layout: the order of axes in which a value is stored when nobody asks for a certain place.
 */
import type { Grouping } from "./Fuse.ts"
import type { Scope } from "./Scope.ts"

/** The order of axes for a root, outermost first; undefined: row-major. */
export const preferred = (_scope: Scope, _grouping: Grouping, _root: string): ReadonlyArray<number> | undefined =>
  undefined
