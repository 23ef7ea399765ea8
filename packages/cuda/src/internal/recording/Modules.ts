/**
 * Modules, kernels and launches of the recording device.
 */
import { refuse } from "../../CudaError.ts"
import type { Driver } from "../../Driver.ts"
import type { Books } from "./Books.ts"
import { product } from "./LaunchChecks.ts"
import type { LaunchChecks } from "./LaunchChecks.ts"

type Methods = Pick<
  Driver,
  | "loadModule"
  | "unloadModule"
  | "getFunction"
  | "getGlobal"
  | "setFunctionAttribute"
  | "occupancy"
  | "prepareLaunch"
  | "updateLaunch"
  | "destroyLaunch"
  | "launch"
>

export const make = (books: Books, checks: LaunchChecks): Methods => {
  const { subjects, log, take, fresh, add, remove, sameDevice, submit, requireOver, newBuffer, options } = books
  const { workOf, checkParameters, checkShape } = checks
  return {
    loadModule: async (context, image) => {
      take("context", context, "load a module")
      if (image.byteLength === 0) throw refuse("ANNEAL_BAD_ARGUMENT", "load a module", "the image is empty")
      const handle = add({ ...fresh(context, context), kind: "module", functions: [], history: [] })
      log.push({ _tag: "Load", module: handle, bytes: image.byteLength })
      return { handle, log: "" }
    },
    unloadModule: (handle) => {
      const module = take("module", handle, "unload a module")
      requireOver(module, "unload a module")
      remove(module, "unload a module")
      for (const fn of module.functions) subjects.delete(fn)
    },
    getFunction: (moduleHandle, name) => {
      const module = take("module", moduleHandle, "find a kernel")
      const signature = options.kernels?.[name]
      if (options.kernels !== undefined && signature === undefined)
        throw refuse("CUDA_ERROR_NOT_FOUND", `find the kernel ${name}`, "the module has no such kernel")
      const parameters = signature?.parameters
      const end = parameters?.at(-1)
      const handle = add({
        ...fresh(module.context),
        kind: "function",
        name,
        module: moduleHandle,
        sharedLimit: 49152,
        clusterLimit: 8,
        parameterBytes: parameters === undefined ? undefined : end === undefined ? 0 : end[0] + end[1]
      })
      module.functions.push(handle)
      return {
        handle,
        parameters,
        attributes: {
          maxThreadsPerBlock: 1024,
          staticSharedBytes: 0,
          constantBytes: 0,
          localBytes: 0,
          registers: -1,
          ptxVersion: -1,
          binaryVersion: -1
        }
      }
    },
    getGlobal: (moduleHandle, name) => {
      const module = take("module", moduleHandle, "find a module's global")
      const bytes = options.kernels?.[name]?.globalBytes
      if (bytes === undefined)
        throw refuse("CUDA_ERROR_NOT_FOUND", `find the global ${name}`, "the module has no such global")
      const handle = newBuffer(fresh(module.context, moduleHandle), bytes, name, "global", 0)
      const memory = take("buffer", handle, "find a module's global")
      memory.written = [{ start: 0, end: bytes }]
      return { handle, bytes }
    },
    setFunctionAttribute: (handle, attribute, value) => {
      const fn = take("function", handle, "set a kernel's attribute")
      const context = take("context", fn.context, "set a kernel's attribute")
      const most = options.devices[context.ordinal]?.attributes.sharedBytesPerBlockOptIn ?? 0
      if (attribute === 8) {
        if (value > most)
          throw refuse(
            "CUDA_ERROR_INVALID_VALUE",
            `set an attribute of the kernel ${fn.name}`,
            `the device allows ${most} bytes of shared memory`
          )
        fn.sharedLimit = value
      } else if (attribute === 14) fn.clusterLimit = value === 1 ? 16 : 8
    },
    occupancy: (handle) => {
      const launch = take("launch", handle, "ask for a kernel's occupancy")
      const context = take("context", launch.context, "ask for a kernel's occupancy")
      const limits = options.devices[context.ordinal]?.attributes
      const threads = (limits?.maxThreadsPerMultiprocessor ?? 0) / product(launch.shape.block)
      const shared =
        launch.shape.sharedBytes === 0
          ? Infinity
          : (limits?.sharedBytesPerMultiprocessor ?? 0) / (launch.shape.sharedBytes + 1024)
      return {
        blocksPerMultiprocessor: Math.floor(Math.min(threads, shared, limits?.maxBlocksPerMultiprocessor ?? 0)),
        clusters: 0
      }
    },
    prepareLaunch: (handle, shape, parameters) => {
      const doing = "prepare a launch"
      const fn = take("function", handle, doing)
      if ([...shape.grid, ...shape.block, ...shape.cluster].some((size) => !Number.isInteger(size) || size < 1))
        throw refuse("ANNEAL_BAD_ARGUMENT", doing, "grid, block and cluster sizes must be at least 1")
      checkParameters(fn, parameters, doing)
      return add({ ...fresh(fn.context, fn.context), kind: "launch", fn: handle, shape, parameters })
    },
    updateLaunch: (handle, parameters) => {
      const launch = take("launch", handle, "change a launch's parameters")
      checkParameters(
        take("function", launch.fn, "change a launch's parameters"),
        parameters,
        "change a launch's parameters"
      )
      launch.parameters = parameters
    },
    destroyLaunch: (handle) => remove(take("launch", handle, "release a launch"), "release a launch"),
    launch: (handle, streamHandle) => {
      const launch = take("launch", handle, "launch a kernel")
      const stream = take("stream", streamHandle, "launch a kernel")
      sameDevice(launch, stream, "launch a kernel")
      const { work, name } = workOf(launch, "launch a kernel")
      checkShape(launch)
      const { grid, block, cluster, sharedBytes } = launch.shape
      submit(
        stream,
        work,
        {
          _tag: "Launch",
          stream: streamHandle,
          kernel: name,
          grid,
          block,
          cluster,
          sharedBytes,
          captured: stream.capture !== undefined
        },
        name
      )
    }
  }
}
