// The parameters of AttentionSm90.cu and what follows from them, the products it uses, the shape that a launch hands over, and a block's
// walk over its tiles of queries.
#pragma once
#include "AsyncCopy.cuh"

#ifndef INPUT
#define INPUT f16
#endif
#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef KEYS
#define KEYS 128
#endif
#ifndef STAGES
#define STAGES 2
#endif
#ifndef CAUSAL
#define CAUSAL 0
#endif
#ifndef PING_PONG
#define PING_PONG 1
#endif
#ifndef LENGTHS
#define LENGTHS 0
#endif
#ifndef WINDOW
#define WINDOW 0
#endif
#ifndef BIAS
#define BIAS 0
#endif
#ifndef PACKED
#define PACKED 0
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define MMA_TYPES_f16 "k16.f32.f16.f16"
#define MMA_TYPES_bf16 "k16.f32.bf16.bf16"

#define MMA_NAME ScoreMma
#define MMA_SHAPE_TYPES JOIN(MMA_TYPES_, INPUT)
#define MMA_ACC float
#define MMA_ACC_OPERAND(x) "+f"(x)
#define MMA_FROM_REGISTERS 0
#define MMA_TAIL_SHARED ", 1, 1, 0, 0"
#include "WarpGroupMma.cuh"
#define MMA_NAME ValueMma
#define MMA_SHAPE_TYPES JOIN(MMA_TYPES_, INPUT)
#define MMA_ACC float
#define MMA_ACC_OPERAND(x) "+f"(x)
#define MMA_FROM_REGISTERS 1
#define MMA_TAIL_REGISTERS ", 1, 1, 1"
#include "WarpGroupMma.cuh"

// O has its own buffer where that fits, so that the next Q loads under the end of a tile.
#ifndef OWN_O
#define OWN_O 1
#endif
// Of heads of 32 and 64 o is small beside the exponentials, and what decides whether to scale it costs more than scaling it.
constexpr bool kSeldom = HEAD_DIM > 64;
constexpr float kSlack = 8.0f;
constexpr int kRows = 128, kSlabs = (HEAD_DIM + 63) / 64;
constexpr int kQueryBytes = kRows * kSlabs * 128, kKeyBytes = KEYS * kSlabs * 128;
static_assert(KEYS % 16 == 0 && HEAD_DIM % 16 == 0 && HEAD_DIM <= 256, "tiles are whole fragments");
static_assert(!WINDOW || CAUSAL, "a window ends at the query's own key");

struct AttentionShape {
  int queries, keys, heads, kv_heads, batch, heads_of_group; // heads_of_group: heads whose K and V fit the L2 together
  float scale_log2;                                          // scale * log2(e)
  int window;
  const int *key_lengths, *query_starts, *key_starts; // LENGTHS; PACKED
  const void *bias;                                   // BIAS, and its strides in elements
  long long bias_batch, bias_head, bias_query;
  float bias_factor; // 1 / scale: scores are scaled after the bias is added
  int tokens;        // PACKED: rows of q
  void *o;           // PACKED: [tokens, heads, dim]
};

__device__ __forceinline__ void mma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void mma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending> __device__ __forceinline__ void mma_wait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory"); }
template <int Count> __device__ __forceinline__ void hold(float (&d)[Count]) {
#pragma unroll
  for (int i = 0; i < Count; i++) asm volatile("" : "+f"(d[i])::"memory");
}
__device__ __forceinline__ u64 matrix_descriptor(u32 address, u32 leading_bytes) {
  return (u64)((address & 0x3ffff) >> 4) | ((u64)(leading_bytes >> 4) << 16) | ((u64)(1024 >> 4) << 32) | (1ull << 62);
}
__device__ __forceinline__ float exp2_fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// A tile of queries: where its sequence lies, and which blocks of keys it needs, [first_block, key_blocks).
struct Work {
  int block, head, batch, first_block, key_blocks;
  int queries, keys, query_0, key_0; // of the sequence; its first tokens (PACKED)
};
// The t-th tile: groups of heads that share the L2, in a group the longest rows first, so that short ones fill the end.
__device__ __forceinline__ Work work_at(int t, const AttentionShape &s) {
  const int blocks = (s.queries + kRows - 1) / kRows, all_heads = s.heads * s.batch;
  const int of_group = s.heads_of_group * blocks, group = t / of_group;
  const int first = group * s.heads_of_group, heads = min(s.heads_of_group, all_heads - first);
  const int in_group = t - group * of_group;
  Work w;
#if CAUSAL
  w.block = blocks - 1 - in_group / heads;
  const int head = first + in_group % heads;
#else
  w.block = in_group % blocks;
  const int head = first + in_group / blocks;
#endif
  w.head = head % s.heads, w.batch = head / s.heads;
  w.queries = s.queries, w.keys = s.keys, w.query_0 = 0, w.key_0 = 0, w.first_block = 0;
#if PACKED
  w.query_0 = s.query_starts[w.batch], w.queries = s.query_starts[w.batch + 1] - w.query_0;
  w.key_0 = s.key_starts[w.batch], w.keys = s.key_starts[w.batch + 1] - w.key_0;
#endif
#if LENGTHS
  w.keys = min(w.keys, s.key_lengths[w.batch]);
#endif
  int limit = w.keys;
#if CAUSAL
  limit = max(0, min(limit, (w.block + 1) * kRows + w.keys - w.queries));
#endif
  w.key_blocks = (limit + KEYS - 1) / KEYS;
#if PACKED
  if (w.block * kRows >= w.queries) w.key_blocks = 0;
#endif
#if WINDOW
  // The first key that the tile's first query sees.
  w.first_block = min(w.key_blocks, max(0, w.block * kRows + w.keys - w.queries - s.window + 1) / KEYS);
#endif
  return w;
}
// Blocks walk the tiles to and fro, so that early and late (long and short) tiles pair up.
__device__ __forceinline__ int tile_of(int round) {
  return round * gridDim.x + (round % 2 ? gridDim.x - 1 - blockIdx.x : blockIdx.x);
}
