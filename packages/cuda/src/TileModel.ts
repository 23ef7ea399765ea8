/**
 * How long a tiled product takes: tensor cores, what a multiprocessor takes in, shared memory and device memory, whichever is
 * slowest, and what no tile escapes (filling the pipeline, the last epilogue, the launch).
 *
 * Fitted on the 24 BERT and ViT products of bench/gpu (docs/kernels/gemm-sm90.md); `test/ProductCandidates.test.ts` holds the
 * measured times and says how far the order may be off.
 */
import type { Expected } from "./Candidate.ts"
import type { DeviceModel } from "./DeviceModel.ts"

export interface Tile {
  readonly m: number
  readonly n: number
  readonly cluster: number
  readonly splitK: number
  readonly perMultiprocessor: number
  /** Epilogues run under the products of another warpgroup. */
  readonly pingPong: boolean
  /** Columns of a line that leaves at once; narrow lines make the epilogue slow. */
  readonly lineBytes: number
  readonly sharedBytes: number
}

export interface Work {
  readonly m: number
  readonly n: number
  readonly batch: number
  /** 128-byte slabs of k. */
  readonly slabs: number
  /** Bytes that must move at least. */
  readonly bytes: number
  /** Matrices that the epilogue reads. */
  readonly matrices: number
}

const ceil = (a: number, b: number): number => Math.floor((a + b - 1) / b)

/** Cycles of an epilogue of 128 x 128 with whole lines. */
const epilogueCycles = 1800
/** Cycles from the first load to the first product, and of a cluster's barriers. */
const fillCycles = 1600
const clusterCycles = 1200
/** Bytes a cycle through distributed shared memory, all that sums of split k cost taken together. */
const remoteBytes = 10

export const expect = (tile: Tile, work: Work, device: DeviceModel): Expected => {
  const tiles = ceil(work.m, tile.m) * ceil(work.n, tile.n) * work.batch
  const slots = Math.floor((device.multiprocessors * tile.perMultiprocessor) / (tile.cluster * tile.splitK))
  const clusters = ceil(tiles, tile.cluster)
  const rounds = ceil(clusters, slots)
  // Blocks that share a multiprocessor share its rates.
  const sharing = Math.min(
    tile.perMultiprocessor,
    Math.max(1, ceil(clusters * tile.cluster * tile.splitK, device.multiprocessors))
  )
  const slabs = ceil(work.slabs, tile.splitK)
  const tensorCycles = (tile.m * tile.n * 64) / (device.products * 0.88)
  const sharedCycles = (tile.m / 64) * (64 + tile.n)
  const ingestCycles = ((tile.m + tile.n) * 128) / device.ingestBytes
  const slabCycles = Math.max(tensorCycles, sharedCycles, ingestCycles) * sharing
  const lines = tile.lineBytes >= 128 ? 1 : tile.lineBytes >= 64 ? 1.3 : 2
  const epilogue = ((tile.m * tile.n) / 16384) * epilogueCycles * lines * (1 + 0.6 * work.matrices)
  const split = tile.splitK === 1 ? 0 : (tile.m * tile.n * 4 * (1 - 1 / tile.splitK)) / remoteBytes + clusterCycles
  const exposed = tile.pingPong ? epilogue : epilogue * rounds
  const fixed = fillCycles + (tile.cluster > 1 ? clusterCycles : 0) + split + exposed
  const us = (cycles: number): number => cycles / (device.gigahertz * 1e3)
  const memory = work.bytes / device.memoryBytesPerMicrosecond
  // Two blocks of different kernels beside each other hide a launch.
  const light = (tile.sharedBytes + 1024) * tile.perMultiprocessor * 2 <= device.sharedBytesPerMultiprocessor
  return {
    microseconds:
      Math.max(us(rounds * slabs * slabCycles), memory) + us(fixed) + device.launchMicroseconds * (light ? 0.5 : 1),
    tensor: us(rounds * slabs * tensorCycles * sharing),
    ingest: us(rounds * slabs * ingestCycles * sharing),
    memory,
    rounds
  }
}
