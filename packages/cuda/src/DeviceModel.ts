/**
 * A device as the candidates' model sees it: what a multiprocessor holds, multiplies and takes in a cycle, and memory's speed.
 *
 * Source: `CUdevice_attribute` for the sizes; for the rates NVIDIA's architecture papers and, where `measured` says so, our own
 * runs (docs/kernels/notes.md): an H100's multiprocessor takes about 54 bytes a cycle from the L2, multicast or not.
 */
import type { Attributes } from "./DeviceInfo.ts"

export interface DeviceModel {
  /** Compute capability, 75 to 120. */
  readonly architecture: number
  readonly multiprocessors: number
  readonly gigahertz: number
  /** Bytes of shared memory that one block may ask for, and that a multiprocessor has for all its blocks. */
  readonly sharedBytesPerBlock: number
  readonly sharedBytesPerMultiprocessor: number
  readonly registersPerMultiprocessor: number
  /** Bytes a microsecond from device memory, read and written. */
  readonly memoryBytesPerMicrosecond: number
  /** Products of two 16-bit numbers that a multiprocessor adds up in a cycle; twice as many of one byte. */
  readonly products: number
  /** Bytes that a multiprocessor takes from the L2 in a cycle. */
  readonly ingestBytes: number
  /** Microseconds between two kernels of a stream that depend on each other. */
  readonly launchMicroseconds: number
}

/** 16-bit products a cycle and multiprocessor, by compute capability. */
const productsOf = (architecture: number): number =>
  architecture >= 100 && architecture < 120 ? 4096 : architecture === 90 ? 2048 : architecture === 80 ? 1024 : 512

/** The model of a device, from its attributes. Memory moves about nine tenths of what its clock and width promise. */
export const fromAttributes = (a: Attributes): DeviceModel => {
  const architecture = a.computeMajor * 10 + a.computeMinor
  return {
    architecture,
    multiprocessors: a.multiprocessors,
    gigahertz: a.clockKilohertz / 1e6,
    sharedBytesPerBlock: a.sharedBytesPerBlockOptIn,
    sharedBytesPerMultiprocessor: a.sharedBytesPerMultiprocessor,
    registersPerMultiprocessor: a.registersPerMultiprocessor,
    memoryBytesPerMicrosecond: (a.memoryClockKilohertz * 2 * (a.memoryBusBits / 8) * 0.9) / 1e3,
    products: productsOf(architecture),
    ingestBytes: architecture >= 90 ? 54 : 40,
    launchMicroseconds: architecture >= 90 ? 1.2 : 2.5
  }
}

/** H100 SXM as measured: 132 multiprocessors at about 1.75 GHz under load, 3.0 TB/s. */
export const h100: DeviceModel = {
  architecture: 90,
  multiprocessors: 132,
  gigahertz: 1.75,
  sharedBytesPerBlock: 232448,
  sharedBytesPerMultiprocessor: 233472,
  registersPerMultiprocessor: 65536,
  memoryBytesPerMicrosecond: 3.0e6,
  products: 2048,
  ingestBytes: 54,
  launchMicroseconds: 1.2
}
