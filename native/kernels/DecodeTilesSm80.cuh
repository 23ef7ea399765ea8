// The parameters of PagedDecodeSm80.cu and what follows from them: how a step of 16 tokens lies in shared memory, the shape that a launch
// hands over.
#pragma once
#ifndef INPUT
#define INPUT f16
#endif
#ifndef KV
#define KV INPUT
#endif
#include "DecodePieces.cuh"

#ifndef HEAD_DIM
#define HEAD_DIM 128
#endif
#ifndef BLOCKS_PER_SM
#define BLOCKS_PER_SM 2
#endif
#ifndef PAGE
#define PAGE 64
#endif
static_assert(PAGE % 16 == 0 && HEAD_DIM % 64 == 0, "whole fragments");

#ifndef WARPS
#define WARPS 4
#endif
#ifndef CLUSTER
#define CLUSTER 0
#endif
#ifndef DENSE_TOKENS
#define DENSE_TOKENS 0
#endif
#ifndef CONSTANT_HISTORY
#define CONSTANT_HISTORY 0
#endif
#ifndef RING
#define RING 0
#endif
#ifndef FLIGHT
#define FLIGHT 0
#endif
#ifndef HELD
#define HELD 0
#endif
static_assert(!HELD || RING, "without a ring every step passes through registers");
#if RING || CLUSTER
#include "AsyncCopy.cuh"
#endif
constexpr int kHeldPages = 64; // of a sequence's table, in registers
constexpr int kElements = 16 / (int)sizeof(KV); // of K or V in 16 bytes
constexpr int kWarps = WARPS, kSteps = HEAD_DIM / (4 * kElements), kHalves = HEAD_DIM / (8 * kElements);
static_assert(kSteps >= 1 && kHalves >= 1, "HEAD_DIM 128 with one-byte K and V");

struct DecodeShape {
  int batch, heads, kv_heads, splits, pages_of_sequence;
  float scale_log2;
  long long page_stride, head_stride, token_stride; // elements
  const void *q, *k, *v;
  const int *table, *lengths;
  void *out;
  float *partial; // [batch, kv heads, splits, group, dim + 2]: sums of values, row maximum, row sum; zero before the first launch, and each leaves it zero
  const float *k_scales, *v_scales; // [kv heads], where KV is narrow
};

#if CLUSTER
// 16 bytes to another block's shared memory, counted by a barrier there.
__device__ __forceinline__ void cluster_send(u32 to, float4 v, u32 barrier) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to), "f"(v.x), "f"(v.y), "f"(v.z), "f"(v.w), "r"(barrier) : "memory");
}
#endif

constexpr float kSlack = 8.0f;            // powers of two by which a score may lie above the reference it is taken under
constexpr int kTiles = HEAD_DIM / 16;     // of 16 dims: the upper rows are the lower ones' dims + 8 or + 8 pieces
constexpr int kLine = HEAD_DIM + 4;       // a head's sums, then its row maximum and row sum
constexpr int kHalf(int tile) { return tile / kElements; }

// A step in the ring: 16 tokens of K, then of V, each as columns of 128 bytes, swizzled as TMA does.
constexpr int kColumnBytes = 16 * 128, kSlotColumns = HEAD_DIM * (int)sizeof(KV) / 128, kSlotBytes = 2 * kSlotColumns * kColumnBytes;
static_assert(!RING || RING * kSlotBytes >= 8 * kLine * 4, "a warp leaves its sums where its slots were");
// The row that neighbour g of eight takes.
__device__ __forceinline__ int row_of(int g) { return g / 2 + g % 2 * 4; }
