// GEMM for every tensor core from sm_75 on: D[b, m, n] = EPILOGUE(sum over k of A[b, m, k] * B[b, n, k]).
//
//            n: TILE_N
//          +----+----+----+----+    a block computes TILE_M x TILE_N, a warp TILE_M / WARPS_M x TILE_N / WARPS_N of it
//  m: TILE |warp|    |    |    |    k in slabs of K_BYTES a row, STAGES of them in shared memory, swizzled in 16-byte pieces
//     _M   +----+----+----+----+    sm_80+: cp.async runs STAGES - 1 slabs ahead; sm_75: one slab ahead, through registers
//          |    |    |    |    |    ldmatrix -> mma.sync -> EPILOGUE -> 16-bit results through shared memory, 16 bytes a store
//          +----+----+----+----+
//
// Types      INPUT f16 | s8 (sm_75+), bf16 | tf32 (sm_80+), e4m3 | e5m2 (sm_89+) -> float sums, s8 -> int.
//            OUTPUT f16 | bf16 | float | s32.
// Layouts    rows of A and of B along k.
// Needs      A, B and their row strides on 16 bytes, or ELEMENTWISE=1, which takes any; any m, n, k; 16-byte stores where D allows.
// Floor      2mnk operations; (mk + nk + mn) elements moved once.
// Parameters TILE_M, TILE_N, WARPS_M, WARPS_N, K_BYTES, STAGES (2 on sm_75), GROUP_M (raster). docs/kernels/gemm-sm75.md.
// On sm_90 GemmSm90.cu is faster; this is for the others, and for what that one does not take (rows off 16 bytes).
#include "TiledSm75.cuh"
