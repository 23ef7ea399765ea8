/** The addon as a `Driver`. */
import { markAsUntransferable } from "node:worker_threads"
import * as DeviceInfo from "../DeviceInfo.ts"
import type { Driver, LaunchShape, Parameters, ProductCalls, Wait } from "../Driver.ts"
import { guarded, promised, rethrow, type Addon } from "./addon.ts"

const configuration = (shape: LaunchShape): Float64Array =>
  Float64Array.of(
    ...shape.grid,
    ...shape.block,
    shape.sharedBytes,
    ...shape.cluster,
    (shape.overlapsPrevious ? 1 : 0) + (shape.cooperative ? 2 : 0)
  )

const bufferNumbers = (parameters: Parameters): Float64Array =>
  Float64Array.from(parameters.buffers.flatMap(({ at, buffer, offset, bytes }) => [at, buffer, offset, bytes]))

const waiting = (wait: Wait): Wait => ({ id: wait.id, done: wait.done.catch(rethrow) })

/** `openProducts` opens cuBLASLt and says why it cannot. */
export const makeDriver = (addon: Addon, openProducts: ProductCalls["open"]): Driver => ({
  kind: "native",
  describe: guarded((ordinal) => {
    const found = addon.describeDevice(ordinal, DeviceInfo.attributeNumbers)
    const attributes = DeviceInfo.attributesFrom(found.attributes)
    return {
      ordinal,
      name: found.name,
      uuid: found.uuid,
      totalBytes: found.totalBytes,
      computeCapability: attributes.computeMajor * 10 + attributes.computeMinor,
      attributes
    }
  }),
  openContext: (ordinal) => promised(() => addon.openContext(ordinal)),
  closeContext: guarded(addon.closeContext),
  memoryInfo: guarded(addon.memoryInfo),
  createStream: guarded(addon.createStream),
  destroyStream: guarded(addon.destroyStream),
  streamIdle: guarded(addon.streamIdle),
  waitStream: guarded((stream) => waiting(addon.waitStream(stream))),
  settled: guarded((object) => waiting(addon.settled(object))),
  cancelWait: guarded(addon.cancelWait),
  createEvent: guarded(addon.createEvent),
  destroyEvent: guarded(addon.destroyEvent),
  recordEvent: guarded(addon.recordEvent),
  waitEvent: guarded(addon.waitEvent),
  eventDone: guarded(addon.eventDone),
  elapsed: guarded(addon.elapsed),
  createPool: guarded(addon.createPool),
  destroyPool: guarded(addon.destroyPool),
  poolInfo: guarded(addon.poolInfo),
  trimPool: guarded(addon.trimPool),
  allocate: guarded((context, bytes) => addon.allocate(context, bytes)),
  allocateOn: guarded((stream, bytes, pool) => addon.allocateOn(stream, bytes, pool)),
  allocateGuarded: guarded((context, bytes, atEnd, alignment) =>
    addon.allocateGuarded(context, bytes, atEnd, alignment)
  ),
  free: guarded(addon.free),
  address: guarded(addon.address),
  allocatePinned: (context, bytes) => promised(() => addon.allocatePinned(context, bytes)),
  registerPinned: (context, buffer) =>
    promised(() => {
      // Transferred, it could be freed by another thread while copies still go into it.
      markAsUntransferable(buffer)
      return addon.registerPinned(context, buffer)
    }),
  freePinned: guarded(addon.freePinned),
  copyToDevice: guarded(addon.copyToDevice),
  copyToHost: guarded(addon.copyToHost),
  copyOnDevice: guarded(addon.copyOnDevice),
  write: guarded(addon.write),
  fill: guarded(addon.fill),
  loadModule: (context, image, maxRegisters) => promised(() => addon.loadModule(context, image, maxRegisters)),
  unloadModule: guarded(addon.unloadModule),
  getFunction: guarded((module, name) => {
    const found = addon.getFunction(module, name, DeviceInfo.functionAttributeNumbers)
    return {
      handle: found.handle,
      attributes: DeviceInfo.functionAttributesFrom(found.attributes),
      parameters: found.parameters ?? undefined
    }
  }),
  getGlobal: guarded(addon.getGlobal),
  setFunctionAttribute: guarded(addon.setFunctionAttribute),
  occupancy: guarded(addon.occupancy),
  prepareLaunch: guarded((fn, shape, parameters) =>
    addon.prepareLaunch(fn, configuration(shape), parameters.block, bufferNumbers(parameters), parameters.maps)
  ),
  updateLaunch: guarded((launch, parameters) =>
    addon.updateLaunch(launch, parameters.block, bufferNumbers(parameters), parameters.maps)
  ),
  destroyLaunch: guarded(addon.destroyLaunch),
  launch: (launch, stream) => {
    try {
      addon.launch(launch, stream)
    } catch (thrown) {
      rethrow(thrown)
    }
  },
  beginCapture: guarded(addon.beginCapture),
  endCapture: guarded(addon.endCapture),
  destroyGraph: guarded(addon.destroyGraph),
  instantiate: guarded(addon.instantiate),
  destroyExecutable: guarded(addon.destroyExecutable),
  uploadGraph: guarded(addon.uploadGraph),
  updateKernelNode: guarded(addon.updateKernelNode),
  replay: (executable, stream) => {
    try {
      addon.replay(executable, stream)
    } catch (thrown) {
      rethrow(thrown)
    }
  },
  products: {
    open: openProducts,
    prepare: guarded(addon.prepareProduct),
    submit: guarded(addon.submitProduct),
    destroy: guarded(addon.destroyProduct)
  },
  statistics: guarded(addon.statistics)
})
