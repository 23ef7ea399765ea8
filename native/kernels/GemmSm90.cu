// GEMM for Hopper: D[b, m, n] = EPILOGUE(sum over k of A[b, m, k] * B[b, n, k]), persistent and warp-specialised.
//
//            n: TILE_N (B, shared by the CLUSTER_M blocks above each other: each loads a part and multicasts it)
//          +----------------+
//  m: TILE | warpgroup 0    |   warpgroups 0.. consume: wgmma m64 x TILE_N, accumulators in registers, then EPILOGUE there,
//     _M   +----------------+   stmatrix and TMA store, while the loads of the next tile run
//          | warpgroup 1    |   the last warp (or warpgroup, where registers move) produces: TMA loads of 128-byte-wide
//          +----------------+   slabs into STAGES buffers (mbarriers)
//
// Types      INPUT f16 | bf16 | tf32 | e4m3 | e5m2 -> float accumulators; s8 -> int. OUTPUT f16 | bf16 | float | s32.
// Layouts    rows of A along k, of B along k; for 16-bit types also A_ALONG_M=1 (A stored [k, m]), B_ALONG_N=1 ([k, n]).
//            GROUPED=1: one launch for many products with a B each, their rows one after another in A and D, from `starts`
//            in memory (experts of a mixture: how many rows each has is known only there).
// Needs      sm_90a; base addresses and row strides of A, B and D in multiples of 16 bytes; any m, n, k.
// Floor      2mnk operations; (mk + nk + mn) elements moved once.
// Parameters TILE_M = 64 * CONSUMERS * BLOCKS_M (PING_PONG: 64 * BLOCKS_M, each warpgroup on a tile of its own, so that one's
//            epilogue runs under the other's products), TILE_N, STAGES, CLUSTER_M x CLUSTER_N, SPLIT_K (a cluster along k: sums
//            go as bulk copies to the block that finishes their rows), STREAM_K (all slabs of all tiles dealt evenly to the
//            blocks; the block with a tile's first slabs adds the others' sums, in order, from `partial`), GROUP_M (raster),
//            STORE_SLOTS, BLOCKS_PER_SM, CONSTANT_B (B is weights: its first loads do not wait for the kernel before), PROMOTE
//            (fp8: k slabs between additions into a second set of accumulators; 0 = the tensor core's own, shorter, sum).
// Legal set and what was tried: docs/kernels/gemm-sm90.md.
#include "PersistentSm90.cuh"
