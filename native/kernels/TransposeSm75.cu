// Transposes of matrices in a batch: out[b, c, r] = x[b, r, c]. Any permutation of dimensions that moves the last one is this
// after neighbouring dimensions are joined.
//
//   block: a tile of 64 rows x 64 columns through shared memory, 32 bits at least a lane each way, 128-byte lines in and out
//     16-bit elements are moved in pairs: two rows' pairs become two columns' pairs by one permutation of bytes each
//
// Types      elements of BYTES 2 or 4.
// Needs      sm_75+; any rows and columns; even ones and even strides for pairs of 16-bit elements.
// Floor      read once, written once, at copy bandwidth.
// Parameters BYTES. docs/kernels/rows-sm75.md.
#include "Element.cuh"

#ifndef BYTES
#define BYTES 2
#endif

struct TransposeShape {
  int rows, columns, tiles_r, tiles_c;
  long long x_row, x_batch, out_row, out_batch; // strides in elements
  const void *x;
  void *out;
};

constexpr int kTile = 64, kThreads = 256;

extern "C" __global__ void __launch_bounds__(kThreads) transpose(const __grid_constant__ TransposeShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const int r0 = (int)(blockIdx.x / s.tiles_c) * kTile, c0 = (int)(blockIdx.x % s.tiles_c) * kTile;
#if BYTES == 2
  __shared__ u32 tile[kTile][kTile / 2 + 1]; // [row][pair of columns]
  const u16 *x = (const u16 *)s.x + blockIdx.y * s.x_batch;
  u16 *out = (u16 *)s.out + blockIdx.y * s.out_batch;
  const bool pairs_in = (s.x_row | s.x_batch) % 2 == 0 && ((u64)s.x & 3) == 0, pairs_out = (s.out_row | s.out_batch) % 2 == 0 && ((u64)s.out & 3) == 0;
  for (int i = threadIdx.x; i < kTile * kTile / 2; i += kThreads) {
    const int r = i / (kTile / 2), pair = i % (kTile / 2), row = r0 + r, column = c0 + 2 * pair;
    if (row >= s.rows || column >= s.columns) continue;
    const u16 *from = x + row * s.x_row + column;
    if (pairs_in && column + 1 < s.columns) tile[r][pair] = *(const u32 *)from;
    else tile[r][pair] = from[0] | (column + 1 < s.columns ? (u32)from[1] << 16 : 0);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kTile * kTile / 2; i += kThreads) {
    const int c = i / (kTile / 2), pair = i % (kTile / 2), column = c0 + c, row = r0 + 2 * pair;
    if (column >= s.columns || row >= s.rows) continue;
    const u32 v = __byte_perm(tile[2 * pair][c / 2], tile[2 * pair + 1][c / 2], c % 2 ? 0x7632 : 0x5410);
    u16 *to = out + column * s.out_row + row;
    if (pairs_out && row + 1 < s.rows) {
      *(u32 *)to = v;
    } else {
      to[0] = (u16)v;
      if (row + 1 < s.rows) to[1] = (u16)(v >> 16);
    }
  }
#else
  __shared__ u32 tile[kTile][kTile + 1];
  const u32 *x = (const u32 *)s.x + blockIdx.y * s.x_batch;
  u32 *out = (u32 *)s.out + blockIdx.y * s.out_batch;
  for (int i = threadIdx.x; i < kTile * kTile; i += kThreads) {
    const int r = i / kTile, c = i % kTile;
    if (r0 + r < s.rows && c0 + c < s.columns) tile[r][c] = x[(r0 + r) * s.x_row + c0 + c];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kTile * kTile; i += kThreads) {
    const int c = i / kTile, r = i % kTile;
    if (r0 + r < s.rows && c0 + c < s.columns) out[(c0 + c) * s.out_row + r0 + r] = tile[r][c];
  }
#endif
}
