// The kernel of GemmSm75.cu and ConvSm75.cu: tiles in shared memory filled by cp.async (through registers on sm_75), ldmatrix,
// mma.sync, the epilogue from registers, 16-bit results out through shared memory. Parameters: GemmSm75.cu.
#pragma once
#include "Epilogue.cuh"
#include "GatherSm75.cuh"
#include "MmaSync.cuh"

#ifndef INPUT
#define INPUT f16
#endif
#ifndef OUTPUT
#define OUTPUT f16
#endif
#ifndef TILE_M
#define TILE_M 128
#endif
#ifndef TILE_N
#define TILE_N 128
#endif
#ifndef WARPS_M
#define WARPS_M 2
#endif
#ifndef WARPS_N
#define WARPS_N 4
#endif
#ifndef K_BYTES
#define K_BYTES 64
#endif
#ifndef STAGES
#define STAGES 3
#endif
#ifndef GROUP_M
#define GROUP_M 8
#endif
#ifndef ELEMENTWISE
#define ELEMENTWISE 0
#endif
#ifndef TRANSPOSED
#define TRANSPOSED 0
#endif
#ifndef CONVOLUTION
#define CONVOLUTION 0
#endif
#ifndef KERNEL
#define KERNEL gemm75
#endif

template <class T> struct Sums {
  typedef float type;
};
template <> struct Sums<s8> {
  typedef int type;
};
typedef Sums<INPUT>::type Accumulator;

constexpr int kThreads = 32 * WARPS_M * WARPS_N;
constexpr int kElements = 16 / (int)sizeof(INPUT), kTileK = K_BYTES / (int)sizeof(INPUT);
constexpr int kPieces = K_BYTES / 16; // of a row
constexpr int kRowStep = kThreads / kPieces;
constexpr int kPiecesA = TILE_M / kRowStep, kPiecesB = TILE_N / kRowStep;
constexpr int kABytes = TILE_M * K_BYTES, kBBytes = TILE_N * K_BYTES, kStageBytes = kABytes + kBBytes;
constexpr int kWarpM = TILE_M / WARPS_M, kWarpN = TILE_N / WARPS_N, kFragmentsM = kWarpM / 16, kFragmentsN = kWarpN / 8;
constexpr int kOutPitch = TILE_N * 2 + 16;
static_assert(TILE_M % kRowStep == 0 && TILE_N % kRowStep == 0, "each thread loads the same number of pieces");
static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0, "a warp's tile is whole fragments");
static_assert(K_BYTES == 64 || K_BYTES == 128, "swizzles of four or eight pieces");
// Shared memory of a launch: max(STAGES * kStageBytes, 16-bit results: TILE_M * kOutPitch), since results go out through the stages.

// Neighbouring rows hold a piece in other banks, so that ldmatrix's eight rows never meet.
__device__ __forceinline__ u32 place_of(int row, int piece) { return row * K_BYTES + ((K_BYTES == 128 ? piece ^ (row & 7) : piece ^ (row >> 1 & 3)) << 4); }

struct TiledShape {
  int m, n, k, batch; // a convolution's batch counts its groups
  int tiles_m, tiles_n, a_batched, b_batched;
  long long a_stride, b_stride, d_stride, a_batch, b_batch, d_batch; // of rows and batches, in elements
  const void *a, *b;
  void *d;
  EpilogueInputs inputs;
  ImageShape image;
};

extern "C" __global__ void __launch_bounds__(kThreads) KERNEL(const __grid_constant__ TiledShape s) {
  extern __shared__ __align__(128) char raw[];
  const u32 base = (u32)__cvta_generic_to_shared(raw);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, quad = lane % 4;
  const int warp_m = warp / WARPS_N * kWarpM, warp_n = warp % WARPS_N * kWarpN;
  // Tiles in groups of GROUP_M rows, so that neighbouring blocks share A and B in the L2.
  const int of_group = GROUP_M * s.tiles_n, first_m = (int)blockIdx.x / of_group * GROUP_M, rows_m = min(GROUP_M, s.tiles_m - first_m);
  const int in_group = (int)blockIdx.x % of_group, m0 = (first_m + in_group % rows_m) * TILE_M, n0 = in_group / rows_m * TILE_N;
  const int batch = blockIdx.y;
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif

#if CONVOLUTION
  const ImageRows<INPUT, TRANSPOSED> source_a{(const INPUT *)s.a + batch * s.image.group_c, s.image, s.m};
  const MatrixRows<INPUT> source_b{(const INPUT *)s.b + batch * s.b_batch, s.b_stride, s.n, s.k};
#else
  const MatrixRows<INPUT> source_a{(const INPUT *)s.a + (s.a_batched ? batch * s.a_batch : 0), s.a_stride, s.m, s.k};
  const MatrixRows<INPUT> source_b{(const INPUT *)s.b + (s.b_batched ? batch * s.b_batch : 0), s.b_stride, s.n, s.k};
#endif
  const int load_row = threadIdx.x / kPieces, load_piece = threadIdx.x % kPieces;
  typename decltype(source_a)::template Place<kPiecesA> place_a;
  typename decltype(source_b)::template Place<kPiecesB> place_b;
  source_a.start(place_a, m0 + load_row, kRowStep, load_piece * kElements);
  source_b.start(place_b, n0 + load_row, kRowStep, load_piece * kElements);

  // A piece by elements, where it is not one aligned load.
  auto gather = [&](const auto &source, const auto &place, int i) {
    INPUT e[kElements];
#pragma unroll
    for (int j = 0; j < kElements; j++) e[j] = source.element(place, i, j);
    uint4 v;
    __builtin_memcpy(&v, e, 16);
    return v;
  };
  auto fetch = [&](const auto &source, const auto &place, int i) {
    if (ELEMENTWISE) return gather(source, place, i);
    bool is;
    const INPUT *from = source.piece(place, i, is);
    return is ? *(const uint4 *)from : make_uint4(0, 0, 0, 0);
  };
  auto advance = [&] { source_a.step(place_a, kTileK), source_b.step(place_b, kTileK); };
  constexpr bool kAsync =
#if __CUDA_ARCH__ >= 800
      !ELEMENTWISE;
#else
      false;
#endif
  // One slab into a stage: at once by cp.async, or in two halves around the products.
  uint4 held_a[kAsync ? 1 : kPiecesA], held_b[kAsync ? 1 : kPiecesB];
  auto load = [&](int stage) {
    const u32 to = base + stage * kStageBytes;
    if constexpr (kAsync) {
#pragma unroll
      for (int i = 0; i < kPiecesA; i++) {
        bool is;
        const INPUT *from = source_a.piece(place_a, i, is);
        copy_async(to + place_of(load_row + i * kRowStep, load_piece), from, is);
      }
#pragma unroll
      for (int i = 0; i < kPiecesB; i++) {
        bool is;
        const INPUT *from = source_b.piece(place_b, i, is);
        copy_async(to + kABytes + place_of(load_row + i * kRowStep, load_piece), from, is);
      }
    } else {
#pragma unroll
      for (int i = 0; i < kPiecesA; i++) held_a[i] = fetch(source_a, place_a, i);
#pragma unroll
      for (int i = 0; i < kPiecesB; i++) held_b[i] = fetch(source_b, place_b, i);
    }
    advance();
  };
  auto settle = [&](int stage) {
    if constexpr (!kAsync) {
      const u32 to = base + stage * kStageBytes;
#pragma unroll
      for (int i = 0; i < kPiecesA; i++) shared_store(to + place_of(load_row + i * kRowStep, load_piece), held_a[i]);
#pragma unroll
      for (int i = 0; i < kPiecesB; i++) shared_store(to + kABytes + place_of(load_row + i * kRowStep, load_piece), held_b[i]);
    }
  };

  Accumulator d[kFragmentsM][kFragmentsN][4];
#pragma unroll
  for (int i = 0; i < kFragmentsM; i++)
#pragma unroll
    for (int j = 0; j < kFragmentsN; j++) d[i][j][0] = d[i][j][1] = d[i][j][2] = d[i][j][3] = 0;
  auto multiply = [&](int stage) {
    const u32 a_at = base + stage * kStageBytes, b_at = a_at + kABytes;
#pragma unroll
    for (int step = 0; step < K_BYTES / 32; step++) {
      u32 a[kFragmentsM][4];
#pragma unroll
      for (int i = 0; i < kFragmentsM; i++) load_fragments(a[i], a_at + place_of(warp_m + i * 16 + lane % 16, step * 2 + lane / 16));
#pragma unroll
      for (int j = 0; j < kFragmentsN; j += 2) {
        u32 b[4];
        load_fragments(b, b_at + place_of(warp_n + j * 8 + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
#pragma unroll
        for (int i = 0; i < kFragmentsM; i++) mma_step<INPUT>(d[i][j], a[i], b[0], b[1]), mma_step<INPUT>(d[i][j + 1], a[i], b[2], b[3]);
      }
    }
  };

  const int slabs = (s.k + kTileK - 1) / kTileK;
  if constexpr (kAsync) {
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) {
      if (i < slabs) load(i);
      copy_commit();
    }
    int stage = 0, next = STAGES - 1;
    for (int slab = 0; slab < slabs; slab++) {
      copy_wait<STAGES - 2>();
      __syncthreads();
      if (slab + STAGES - 1 < slabs) load(next);
      copy_commit();
      multiply(stage);
      if (++stage == STAGES) stage = 0;
      if (++next == STAGES) next = 0;
    }
    copy_wait<0>();
  } else {
    load(0);
    settle(0);
    __syncthreads();
    for (int slab = 0; slab < slabs; slab++) {
      if (slab + 1 < slabs) load((slab + 1) % 2);
      multiply(slab % 2);
      if (slab + 1 < slabs) settle((slab + 1) % 2);
      __syncthreads();
    }
  }
  __syncthreads();

  const int column_0 = CONVOLUTION ? batch * s.n : 0;
  const bool even = s.d_stride % 2 == 0 && s.d_batch % 2 == 0;
  const long long d_at = batch * s.d_batch;
#pragma unroll
  for (int i = 0; i < kFragmentsM; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const int in_tile = warp_m + i * 16 + g + h * 8, row = m0 + in_tile;
#pragma unroll
      for (int j = 0; j < kFragmentsN; j++) {
        const int column_in = warp_n + j * 8 + quad * 2, column = n0 + column_in;
        const long long at = d_at + row * s.d_stride + column;
#ifndef EPILOGUE_TEXT
        if constexpr (__is_same(OUTPUT, s32)) {
          s32 *to = (s32 *)s.d + at;
          if (row < s.m && column < s.n) to[0] = (s32)d[i][j][2 * h];
          if (row < s.m && column + 1 < s.n) to[1] = (s32)d[i][j][2 * h + 1];
          continue;
        }
#endif
        const float2 v = epilogue_pair(make_float2((float)d[i][j][2 * h], (float)d[i][j][2 * h + 1]), row, column_0 + column, batch, at, row < s.m, column_0 + s.n, even, s.inputs);
        if constexpr (sizeof(OUTPUT) == 2) {
          *(u32 *)(raw + in_tile * kOutPitch + column_in * 2) = pack2<OUTPUT>(v.x, v.y);
        } else {
          OUTPUT *to = (OUTPUT *)s.d + at;
          if (row < s.m && column < s.n) to[0] = from_float<OUTPUT>(v.x);
          if (row < s.m && column + 1 < s.n) to[1] = from_float<OUTPUT>(v.y);
        }
      }
    }
  if constexpr (sizeof(OUTPUT) == 2) {
    __syncthreads();
    const bool whole = s.d_stride % 8 == 0 && s.d_batch % 8 == 0 && s.n % 8 == 0 && ((u64)s.d & 15) == 0;
    for (int i = threadIdx.x; i < TILE_M * (TILE_N / 8); i += kThreads) {
      const int in_tile = i / (TILE_N / 8), c = i % (TILE_N / 8) * 8, row = m0 + in_tile, column = n0 + c;
      if (row >= s.m || column >= s.n) continue;
      OUTPUT *to = (OUTPUT *)s.d + d_at + row * s.d_stride + column;
      const char *from = raw + in_tile * kOutPitch + c * 2;
      if (whole) *(uint4 *)to = *(const uint4 *)from;
      else
        for (int e = 0; e < min(8, s.n - column); e++) to[e] = ((const OUTPUT *)from)[e];
    }
  }
}
