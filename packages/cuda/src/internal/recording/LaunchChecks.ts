/**
 * What a launch touches, and whether a device would take it.
 */
import { refuse } from "../../CudaError.ts"
import type { CudaError } from "../../CudaError.ts"
import type { Parameters } from "../../Driver.ts"
import * as Ordering from "../../Ordering.ts"
import type { Books, Of, Touch, Work } from "./Books.ts"

const three = (extent: readonly [number, number, number]): string => extent.join("×")
export const product = (extent: readonly [number, number, number]): number => extent[0] * extent[1] * extent[2]

export const make = (books: Books) => {
  const { subjects, take, sameDevice, inside, hazard, nameOf, options } = books

  const workOf = (launch: Of<"launch">, doing: string): { work: Work; name: string } => {
    const fn = take("function", launch.fn, doing)
    const module = take("module", fn.module, doing)
    const touches: Array<Touch> = []
    for (const parameter of [...launch.parameters.buffers, ...launch.parameters.maps]) {
      const memory = take("buffer", parameter.buffer, doing)
      if (parameter.bytes > 0)
        touches.push({
          object: memory.id,
          start: parameter.offset,
          end: parameter.offset + parameter.bytes,
          reads: parameter.access !== "write",
          writes: parameter.access !== "read"
        })
    }
    checkOverlap(touches, `launch the kernel ${fn.name}`)
    return { work: { what: `kernel ${fn.name}`, touches: mergeEqual(touches), needs: [module.id] }, name: fn.name }
  }
  const checkOverlap = (touches: ReadonlyArray<Touch>, doing: string): void => {
    for (const [index, a] of touches.entries())
      for (const b of touches.slice(index + 1))
        if (
          a.object === b.object &&
          (a.writes || b.writes) &&
          Ordering.overlaps(a, b) &&
          !(a.start === b.start && a.end === b.end)
        )
          throw hazard(
            "overlap",
            doing,
            `two of its arguments overlap in part in ${nameOf(subjects.get(a.object))}: bytes ${a.start} to ${a.end} and ${b.start} to ${b.end}`
          )
  }
  // In place: the same range read by one argument and written by another is one access of the kernel.
  const mergeEqual = (touches: ReadonlyArray<Touch>): ReadonlyArray<Touch> => {
    const merged = new Map<string, Touch>()
    for (const touch of touches) {
      const key = `${touch.object} ${touch.start} ${touch.end}`
      const before = merged.get(key)
      merged.set(
        key,
        before === undefined
          ? touch
          : { ...touch, reads: touch.reads || before.reads, writes: touch.writes || before.writes }
      )
    }
    return [...merged.values()]
  }
  const checkParameters = (fn: Of<"function">, parameters: Parameters, doing: string): void => {
    if (fn.parameterBytes !== undefined && parameters.block.byteLength !== fn.parameterBytes)
      throw refuse(
        "ANNEAL_BAD_ARGUMENT",
        doing,
        `the kernel ${fn.name} takes ${fn.parameterBytes} bytes of parameters, got ${parameters.block.byteLength}`
      )
    for (const parameter of [...parameters.buffers, ...parameters.maps]) {
      const memory = take("buffer", parameter.buffer, doing)
      sameDevice(memory, fn, doing)
      inside(memory.bytes, "a buffer", parameter.offset, parameter.bytes, doing)
    }
  }
  const checkShape = (launch: Of<"launch">): void => {
    const fn = take("function", launch.fn, "launch a kernel")
    const context = take("context", launch.context, "launch a kernel")
    const limits = options.devices[context.ordinal]?.attributes
    const { grid, block, cluster, sharedBytes } = launch.shape
    const doing = `launch the kernel ${fn.name} (grid ${three(grid)}, block ${three(block)}, cluster ${three(cluster)}, ${sharedBytes} bytes of shared memory)`
    const no = (why: string): CudaError => refuse("CUDA_ERROR_INVALID_VALUE", doing, why)
    if (limits !== undefined && product(block) > limits.maxThreadsPerBlock)
      throw no(`more than ${limits.maxThreadsPerBlock} threads in a block`)
    if (sharedBytes > fn.sharedLimit)
      throw no(`more than the kernel's ${fn.sharedLimit} bytes of dynamic shared memory`)
    if (product(cluster) > fn.clusterLimit) throw no(`a cluster of more than ${fn.clusterLimit} blocks`)
    if (product(cluster) > 1 && limits?.clusterLaunch !== 1) throw no("this device has no clusters")
    if (grid.some((size, axis) => size % (cluster[axis] ?? 1) !== 0))
      throw no("the grid is not a multiple of the cluster")
    if (grid[1] > 65535 || grid[2] > 65535) throw no("more than 65,535 blocks in y or z")
  }
  return { workOf, checkOverlap, mergeEqual, checkParameters, checkShape }
}

export type LaunchChecks = ReturnType<typeof make>
