// The parameters of PersistentSm90.cuh, what follows from them (tiles, shared memory, registers), the shape that a launch hands
// over, and the walks of a block: over its tiles, of a tile over its slabs of k. What the parameters mean: GemmSm90.cu.
#pragma once
#include "AsyncCopy.cuh"
#include "Epilogue.cuh"

#ifndef INPUT
#define INPUT f16
#endif
#ifndef OUTPUT
#define OUTPUT f16
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef BLOCKS_M
#define BLOCKS_M 1
#endif
#ifndef TILE_N
#define TILE_N 256
#endif
#ifndef STAGES
#define STAGES 4
#endif
#ifndef CLUSTER_M
#define CLUSTER_M 1
#endif
#ifndef CLUSTER_N
#define CLUSTER_N 1
#endif
#ifndef SPLIT_K
#define SPLIT_K 1
#endif
#ifndef PING_PONG
#define PING_PONG 0
#endif
#ifndef STREAM_K
#define STREAM_K 0
#endif
#ifndef GROUP_M
#define GROUP_M 8
#endif
#ifndef STORE_SLOTS
#define STORE_SLOTS 2
#endif
#ifndef PROMOTE
#define PROMOTE 0
#endif
#ifndef BLOCKS_PER_SM
#define BLOCKS_PER_SM 1
#endif
#ifndef A_ALONG_M
#define A_ALONG_M 0
#endif
#ifndef B_ALONG_N
#define B_ALONG_N 0
#endif
#ifndef CONSTANT_B
#define CONSTANT_B 0
#endif
#ifndef GROUPED
#define GROUPED 0
#endif
#ifndef CONVOLUTION
#define CONVOLUTION 0
#endif
#ifndef SWAPPED
#define SWAPPED 0
#endif
#ifndef PROFILE
#define PROFILE 0
#endif
#ifndef KERNEL
#define KERNEL gemm
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
typedef float tf32;
#define MMA_TYPES_f16 "k16.f32.f16.f16"
#define MMA_TYPES_bf16 "k16.f32.bf16.bf16"
#define MMA_TYPES_tf32 "k8.f32.tf32.tf32"
#define MMA_TYPES_e4m3 "k32.f32.e4m3.e4m3"
#define MMA_TYPES_e5m2 "k32.f32.e5m2.e5m2"
#define MMA_TYPES_s8 "k32.s32.s8.s8"
#define MMA_KIND_f16 0
#define MMA_KIND_bf16 0
#define MMA_KIND_tf32 1
#define MMA_KIND_e4m3 1
#define MMA_KIND_e5m2 1
#define MMA_KIND_s8 2
#define MMA_KIND JOIN(MMA_KIND_, INPUT)

#define MMA_NAME Mma
#define MMA_SHAPE_TYPES JOIN(MMA_TYPES_, INPUT)
#define MMA_FROM_REGISTERS 0
#if MMA_KIND == 0
#define MMA_TAIL_SHARED ", 1, 1, " TEXT(A_ALONG_M) ", " TEXT(B_ALONG_N)
#elif MMA_KIND == 1
#define MMA_TAIL_SHARED ", 1, 1"
#else
#define MMA_TAIL_SHARED ""
#endif
#if MMA_KIND == 2
typedef int Accumulator;
#define MMA_ACC int
#define MMA_ACC_OPERAND(x) "+r"(x)
#else
typedef float Accumulator;
#define MMA_ACC float
#define MMA_ACC_OPERAND(x) "+f"(x)
#endif
#include "WarpGroupMma.cuh"
#if MMA_KIND == 2
#define MMA_ACC_OPERAND2(x) "+r"(x)
#else
#define MMA_ACC_OPERAND2(x) "+f"(x)
#endif

// Warpgroups that work on one tile together; with PING_PONG each has a tile of its own, in turn.
constexpr int kTogether = PING_PONG ? 1 : CONSUMERS;
constexpr int kTileM = 64 * kTogether * BLOCKS_M;
constexpr int kTileK = 128 / (int)sizeof(INPUT);
constexpr int kCluster = CLUSTER_M * CLUSTER_N * SPLIT_K;
constexpr int kABytes = kTileM * 128;
constexpr int kBBytes = TILE_N * 128;
constexpr int kStageBytes = kABytes + kBBytes;
constexpr int kOutBytes = (int)sizeof(OUTPUT);
// The store goes in chunks of 64 rows; a row of a chunk is one 128-, 64- or 32-byte swizzled line.
constexpr int kChunk = TILE_N % (128 / kOutBytes) == 0 ? 128 / kOutBytes : TILE_N % (64 / kOutBytes) == 0 ? 64 / kOutBytes : 32 / kOutBytes;
constexpr int kLine = kChunk * kOutBytes;
#if SWAPPED
// A slot holds 64 columns of all TILE_N rows of D.
constexpr int kSlotBytes = TILE_N * 128;
static_assert(SPLIT_K == 1 && !STREAM_K && !GROUPED && !CONVOLUTION && !A_ALONG_M && !B_ALONG_N && !PROMOTE && sizeof(OUTPUT) == 2, "swapped: whole products, 16-bit results");
#else
constexpr int kSlotBytes = 64 * kLine < 1024 ? 1024 : 64 * kLine;
#endif
// SPLIT_K: a block's sums are laid out over its stages, kOwnerBytes for each block that finishes a part of the rows, and travel
// as bulk copies to where they arrive: beside the stages if they fit there, behind the laid out sums if not.
constexpr int kPartialStride = TILE_N + 8, kRows = kTileM / SPLIT_K;
constexpr int kOwnerBytes = kRows * kPartialStride * 4, kReceiveBytes = (SPLIT_K - 1) * kOwnerBytes;
constexpr bool kApart = SPLIT_K > 1 && STAGES * kStageBytes + kReceiveBytes + 16 * STAGES + 16 + 1024 <= 233472 / BLOCKS_PER_SM;
constexpr int kStoreBytes = SPLIT_K > 1 ? (kApart ? kReceiveBytes : 0) : CONSUMERS * STORE_SLOTS * kSlotBytes;
#ifdef PRODUCER_REGISTERS
constexpr int kThreads = 128 * (CONSUMERS + 1);
#else
constexpr int kThreads = 128 * CONSUMERS + 32;
#endif
#if SWAPPED
constexpr bool kPrefetch = false;
#else
constexpr bool kPrefetch = kEpilogueMatrices > 0;
#endif
// Results of a block's last tile may lie where the stages were, except where another warpgroup still reads them in its turn.
#if SWAPPED
constexpr bool kOverStages = !PING_PONG && CONSUMERS * BLOCKS_M * kSlotBytes <= STAGES * kStageBytes;
static_assert(STORE_SLOTS > 0 || kOverStages, "without slots a block has one tile, and its results lie over the stages");
#elif EPILOGUE_TILE
constexpr bool kOverStages = false;
static_assert(STORE_SLOTS == BLOCKS_M * TILE_N / kChunk && SPLIT_K == 1 && sizeof(OUTPUT) == 2 && kChunk % 16 == 0, "a slot for each chunk of the other matrix");
#else
constexpr bool kOverStages = SPLIT_K == 1 && !PING_PONG && kTileM * TILE_N / kChunk / 64 * kSlotBytes <= STAGES * kStageBytes;
#endif
static_assert(SPLIT_K == 1 || SPLIT_K * kOwnerBytes + (kApart ? 0 : kReceiveBytes) <= STAGES * kStageBytes, "sums are laid out over the stages");
static_assert(!STREAM_K || (kCluster == 1 && PROMOTE == 0), "stream-K blocks share nothing");
static_assert(!GROUPED || (kCluster == 1 && !STREAM_K && !A_ALONG_M && !CONSTANT_B && MMA_KIND != 2), "groups: rows of A along k, no cluster, floats");
static_assert(!STREAM_K || MMA_KIND != 2, "partial sums are floats");
static_assert(!PING_PONG || (CONSUMERS == 2 && SPLIT_K == 1 && !STREAM_K), "whole tiles take turns");
static_assert(kTileM % SPLIT_K == 0, "each block of a k cluster reduces the same number of rows");
static_assert((kTileM / CLUSTER_N) % 8 == 0 && (TILE_N / CLUSTER_M) % 8 == 0, "multicast parts are whole swizzle atoms");
static_assert(!A_ALONG_M || (MMA_KIND == 0 && kTileM / CLUSTER_N % 64 == 0), "A along m: 16-bit types, parts of 64");
static_assert(!B_ALONG_N || (MMA_KIND == 0 && TILE_N / CLUSTER_M % 64 == 0), "B along n: 16-bit types, parts of 64");

// How a row of A, an output pixel, is found in the image: TMA walks pixels in the order (image, row, column).
struct ConvolutionShape {
  int out_w, out_pixels; // of one image: columns, columns * rows
  int stride_w, stride_h, pad_w, pad_h, dilation_w, dilation_h;
  int filter_w, channel_slabs; // taps in a filter row; 128-byte slabs of one group's channels
  int group_channels, unused;
};

struct GemmShape {
  int m, n, k_slabs, batch;
  int tiles_m, tiles_n; // in clusters
  int a_batched, b_batched;
  long long row_stride, batch_stride; // of D, in elements
  void *d;
  EpilogueInputs inputs;
  float *partial; // STREAM_K: a tile of sums for each block
  u32 *ready;     // STREAM_K: for each block and consumer, zero before and after each launch
#if CONVOLUTION
  ConvolutionShape conv; // batch counts groups; k_slabs = taps * channel_slabs
#endif
#if GROUPED
  const int *starts; // [batch + 1]: the first row of A and D of each group; B has a matrix for each
#endif
};

// The slabs of one tile that a block sums.
struct Segment {
  int tile, from, to;
};
// Walks a block's segments: whole tiles in turn, or its even share of all slabs.
struct Segments {
  int at, end, step, slabs, from, to;
  __device__ __forceinline__ bool next(Segment &s) {
    if (at >= end) return false;
#if STREAM_K
    s.tile = at / slabs, s.from = at - s.tile * slabs, s.to = min(slabs, s.from + end - at);
    at += s.to - s.from;
#else
    s.tile = at, s.from = from, s.to = to;
    at += step;
#endif
    return true;
  }
};
__device__ __forceinline__ int share_of(int block, int units) { return (int)((long long)block * units / gridDim.x); }

__device__ __forceinline__ void mma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void mma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending> __device__ __forceinline__ void mma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory"); }
template <int Count> __device__ __forceinline__ void hold(Accumulator (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) asm volatile("" : MMA_ACC_OPERAND2(d[i])::"memory");
}

// Shared-memory matrix descriptor: 128-byte swizzle, atoms of 8 lines every 1024 bytes.
__device__ __forceinline__ u64 matrix_descriptor(u32 address, u32 leading_bytes) {
  return (u64)((address & 0x3ffff) >> 4) | ((u64)(leading_bytes >> 4) << 16) | ((u64)(1024 >> 4) << 32) | (1ull << 62);
}

struct Tile {
  int m, n, batch;
  int row_0, rows; // the tile's matrix: its first row in A and D, and how many it has
};
#if GROUPED
// Tiles of all groups, one after another.
__device__ __forceinline__ int tiles_of(int rows, const GemmShape &s) { return (rows + kTileM - 1) / kTileM * s.tiles_n; }
__device__ __forceinline__ int all_tiles(const GemmShape &s) {
  int sum = 0;
  for (int i = 0; i < s.batch; i++) sum += tiles_of(s.starts[i + 1] - s.starts[i], s);
  return sum;
}
__device__ __forceinline__ Tile tile_at(int t, const GemmShape &s) {
  Tile r;
  r.batch = 0;
  for (;; r.batch++) {
    r.row_0 = s.starts[r.batch], r.rows = s.starts[r.batch + 1] - r.row_0;
    const int here = tiles_of(r.rows, s);
    if (t < here || r.batch + 1 == s.batch) break;
    t -= here;
  }
  const int tiles_m = (r.rows + kTileM - 1) / kTileM;
  r.m = t % tiles_m, r.n = t / tiles_m;
  return r;
}
#else
__device__ __forceinline__ int all_tiles(const GemmShape &s) { return s.tiles_m * s.tiles_n * s.batch; }
__device__ __forceinline__ Tile tile_at(int t, const GemmShape &s) {
  Tile r;
  r.row_0 = 0, r.rows = s.m;
  const int of_batch = s.tiles_m * s.tiles_n;
  r.batch = t / of_batch;
  t -= r.batch * of_batch;
  const int of_group = GROUP_M * s.tiles_n;
  const int first = t / of_group * GROUP_M;
  const int rows = min(GROUP_M, s.tiles_m - first);
  t %= of_group;
  r.m = first + t % rows;
  r.n = t / rows;
  return r;
}
#endif

// A slab of k: its first element or channel, and, for a convolution, its filter tap and where that lies in the window. One
// thread walks them for the whole block, so a step costs no division.
struct Slab {
  int k0;
#if CONVOLUTION
  int tap, tap_w, offset_w, offset_h;
#endif
};
__device__ __forceinline__ Slab slab_at(int slab, const GemmShape &s) {
  Slab r;
#if CONVOLUTION
  r.tap = slab / s.conv.channel_slabs;
  r.k0 = (slab - r.tap * s.conv.channel_slabs) * kTileK;
  const int tap_h = r.tap / s.conv.filter_w;
  r.tap_w = r.tap - tap_h * s.conv.filter_w;
  r.offset_w = r.tap_w * s.conv.dilation_w, r.offset_h = tap_h * s.conv.dilation_h;
#else
  r.k0 = slab * kTileK;
#endif
  return r;
}
__device__ __forceinline__ void next_slab(Slab &r, const GemmShape &s) {
  r.k0 += kTileK;
#if CONVOLUTION
  if (r.k0 < s.conv.channel_slabs * kTileK) return;
  r.k0 = 0, r.tap++, r.offset_w += s.conv.dilation_w;
  if (++r.tap_w == s.conv.filter_w) r.tap_w = 0, r.offset_w = 0, r.offset_h += s.conv.dilation_h;
#endif
}
