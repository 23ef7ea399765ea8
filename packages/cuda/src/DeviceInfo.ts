/**
 * What a device says of itself: the attributes that kernels and planners ask for.
 *
 * Source: CUDA Driver API, `CUdevice_attribute` and `CUfunction_attribute`.
 */

/** The attributes that are read, by name and `CUdevice_attribute` number. -1 where the driver does not know one. */
export const attributes = {
  maxThreadsPerBlock: 1,
  sharedBytesPerBlock: 8,
  warpSize: 10,
  registersPerBlock: 12,
  clockKilohertz: 13,
  multiprocessors: 16,
  memoryClockKilohertz: 36,
  memoryBusBits: 37,
  l2Bytes: 38,
  maxThreadsPerMultiprocessor: 39,
  asyncEngines: 40,
  computeMajor: 75,
  computeMinor: 76,
  sharedBytesPerMultiprocessor: 81,
  registersPerMultiprocessor: 82,
  cooperativeLaunch: 95,
  sharedBytesPerBlockOptIn: 97,
  virtualMemory: 102,
  maxBlocksPerMultiprocessor: 106,
  reservedSharedBytesPerBlock: 111,
  memoryPools: 115,
  clusterLaunch: 120,
  tensorMaps: 127
} as const

export type Attributes = { readonly [Name in keyof typeof attributes]: number }

/** The numbers in `attributes`, in its order. */
export const attributeNumbers: Float64Array = Float64Array.from(Object.values(attributes))

/** Names to values, from values in the order of `attributes`. */
export const attributesFrom = (values: ReadonlyArray<number>): Attributes => {
  const at = (name: keyof typeof attributes): number => values[Object.keys(attributes).indexOf(name)] ?? -1
  return {
    maxThreadsPerBlock: at("maxThreadsPerBlock"),
    sharedBytesPerBlock: at("sharedBytesPerBlock"),
    warpSize: at("warpSize"),
    registersPerBlock: at("registersPerBlock"),
    clockKilohertz: at("clockKilohertz"),
    multiprocessors: at("multiprocessors"),
    memoryClockKilohertz: at("memoryClockKilohertz"),
    memoryBusBits: at("memoryBusBits"),
    l2Bytes: at("l2Bytes"),
    maxThreadsPerMultiprocessor: at("maxThreadsPerMultiprocessor"),
    asyncEngines: at("asyncEngines"),
    computeMajor: at("computeMajor"),
    computeMinor: at("computeMinor"),
    sharedBytesPerMultiprocessor: at("sharedBytesPerMultiprocessor"),
    registersPerMultiprocessor: at("registersPerMultiprocessor"),
    cooperativeLaunch: at("cooperativeLaunch"),
    sharedBytesPerBlockOptIn: at("sharedBytesPerBlockOptIn"),
    virtualMemory: at("virtualMemory"),
    maxBlocksPerMultiprocessor: at("maxBlocksPerMultiprocessor"),
    reservedSharedBytesPerBlock: at("reservedSharedBytesPerBlock"),
    memoryPools: at("memoryPools"),
    clusterLaunch: at("clusterLaunch"),
    tensorMaps: at("tensorMaps")
  }
}

/** One device. `computeCapability` is major · 10 + minor: 90 for an H100. */
export interface DeviceInfo {
  readonly ordinal: number
  readonly name: string
  readonly uuid: string
  readonly totalBytes: number
  readonly computeCapability: number
  readonly attributes: Attributes
}

/** The kernel attributes that are read, by name and `CUfunction_attribute` number. */
export const functionAttributes = {
  maxThreadsPerBlock: 0,
  staticSharedBytes: 1,
  constantBytes: 2,
  localBytes: 3,
  registers: 4,
  ptxVersion: 5,
  binaryVersion: 6
} as const

export type FunctionAttributes = { readonly [Name in keyof typeof functionAttributes]: number }

export const functionAttributeNumbers: Float64Array = Float64Array.from(Object.values(functionAttributes))

export const functionAttributesFrom = (values: ReadonlyArray<number>): FunctionAttributes => ({
  maxThreadsPerBlock: values[0] ?? -1,
  staticSharedBytes: values[1] ?? -1,
  constantBytes: values[2] ?? -1,
  localBytes: values[3] ?? -1,
  registers: values[4] ?? -1,
  ptxVersion: values[5] ?? -1,
  binaryVersion: values[6] ?? -1
})

/** `CUfunction_attribute` numbers that can be set. */
export const maxDynamicSharedBytes = 8
export const nonPortableClusterSizeAllowed = 14
