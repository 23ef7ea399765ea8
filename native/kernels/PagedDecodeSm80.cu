// Paged decode attention: one query a sequence against its pages of K and V, at the speed of reading the pages once.
//
//   grid: split x kv head x sequence; block: WARPS warps, each takes 16 tokens in turn
//     the GROUP query heads of a kv head are the columns of mma.m16n8k16, tokens (of K) and dims (of V) its rows, so every K and V
//     element is read once for all of them and no row of the product is idle
//     K: lane (g, q) loads 16 bytes of tokens g and 8 + g: the order of dim inside the product is free as long as Q follows it
//     V: lane (g, q) loads 16 bytes (dims 8g..) of tokens 2q, 2q+1, 8+2q, 9+2q; P reaches their lanes by movmatrix
//   RING=n (sm_90): each warp has n steps of K and V on the way to shared memory by TMA, where they wait for the kernel before without
//   holding registers, so that the blocks of two launches fit a multiprocessor and one's pages arrive under the other's end
//   tokens t of a step are rows t / 2 + t % 2 * 4 of their eight, dims likewise: a quarter warp's 16 bytes then lie in different banks
//   CONSTANT_HISTORY=1: lengths, table, K and V but for each sequence's last 16 tokens were written before the kernel before this
//   one started (in a decode step only the newest token is new), so a warp's first loads don't wait for that kernel
//   without RING K and V go from global memory to the tensor cores without shared memory; warps, then splits, are merged by their row
//   maxima and sums: the splits of a (sequence, head) are a cluster that reads one another's shared memory (CLUSTER=1, sm_90,
//   at most 16), or the last one to finish merges what all left in memory
//
// Types      INPUT f16 | bf16 for q and out; float softmax. HEAD_DIM 64 | 128. KV as INPUT, or e4m3 (sm_89+) or s8 with a float
//            scale for each kv head, turned into 16 bits in registers.
// Layouts    q, out [batch, heads, dim]; K, V pools by strides of page, head and token (DENSE_TOKENS=1: tokens one after another); table [batch, pages of a sequence].
// Needs      sm_80+; pages a multiple of 16 tokens; heads / kv heads <= 8; 16-byte aligned rows.
// Floor      bytes of K and V once at copy bandwidth.
// Parameters HEAD_DIM, PAGE, WARPS, BLOCKS_PER_SM, CLUSTER, CONSTANT_HISTORY, DENSE_TOKENS, RING, FLIGHT; splits (at most 64, in a cluster 16) at launch. docs/kernels/paged-decode-sm80.md.
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
#if RING || CLUSTER
#include "AsyncCopy.cuh"
#endif
constexpr int kMostSplits = 64;
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
  float *partial;    // [batch, kv heads, splits, group, dim + 2]: sums of values, then row maximum, row sum
  u32 *arrived;      // [batch, kv heads], zero before the first launch; each launch leaves it zero
  const float *k_scales, *v_scales; // [kv heads], where KV is narrow
};

#if CLUSTER
__device__ __forceinline__ float2 cluster_load(const void *mine, u32 block) {
  float2 r;
  asm volatile("{\n.reg .b32 at;\nmapa.shared::cluster.u32 at, %2, %3;\nld.shared::cluster.v2.f32 {%0, %1}, [at];\n}" : "=f"(r.x), "=f"(r.y) : "r"((u32)__cvta_generic_to_shared(mine)), "r"(block));
  return r;
}
#endif

constexpr int kTiles = HEAD_DIM / 16;     // of 16 dims: the upper rows are the lower ones' dims + 8 or + 8 pieces
constexpr int kLine = HEAD_DIM + 4;       // a head's sums, then its row maximum and row sum
constexpr int kHalf(int tile) { return tile / kElements; }

// A step in the ring: 16 tokens of K, then of V, each as columns of 128 bytes, swizzled as TMA does.
constexpr int kColumnBytes = 16 * 128, kSlotColumns = HEAD_DIM * (int)sizeof(KV) / 128, kSlotBytes = 2 * kSlotColumns * kColumnBytes;
static_assert(!RING || RING * kSlotBytes >= 8 * kLine * 4, "a warp leaves its sums where its slots were");
// The row that neighbour g of eight takes.
__device__ __forceinline__ int row_of(int g) { return g / 2 + g % 2 * 4; }

#if RING
extern "C" __global__ void __launch_bounds__(kWarps * 32, BLOCKS_PER_SM)
    decode(const __grid_constant__ TensorMap map_k, const __grid_constant__ TensorMap map_v, const __grid_constant__ DecodeShape s) {
  extern __shared__ char raw[];
  const u32 ring = (shared_address(raw) + 1023) & ~1023u, full = ring + kWarps * RING * kSlotBytes;
  auto merged = [&](int w, int head) { return (float *)(raw + (ring - shared_address(raw)) + w * RING * kSlotBytes) + head * kLine; };
#else
extern "C" __global__ void __launch_bounds__(kWarps * 32, BLOCKS_PER_SM) decode(const __grid_constant__ DecodeShape s) {
  __shared__ alignas(16) float sums_of_warps[kWarps][8][kLine];
  auto merged = [&](int w, int head) { return &sums_of_warps[w][head][0]; };
#endif
#if !CLUSTER
  __shared__ int last;
#endif
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
  const int split = blockIdx.x, kv = blockIdx.y, b = blockIdx.z, group = s.heads / s.kv_heads;
  const float kNone = -__int_as_float(0x7f800000);
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  if (!CONSTANT_HISTORY) asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  const int *table = s.table + (long long)b * s.pages_of_sequence;
  // The table's entries load beside the length, not after it.
  const int held_low = lane < s.pages_of_sequence ? table[lane] : 0, held_high = 32 + lane < s.pages_of_sequence ? table[32 + lane] : 0;
  const int length = s.lengths[b], steps = (length + 15) / 16;
  const int part = (steps + s.splits - 1) / s.splits, from = split * part, to = min(steps, from + part);
  const float scale_log2 = s.scale_log2 * (sizeof(KV) == 1 ? s.k_scales[kv] : 1.0f), out_scale = sizeof(KV) == 1 ? s.v_scales[kv] : 1.0f;
  const int row = row_of(g);
  // The token of a step that is element i of a lane's part of P's columns.
  auto value_token = [&](int i) { return i / 2 * 8 + q + i % 2 * 4; };
  auto page_of = [&](int step) {
    const int at = step * 16 / PAGE;
    return at < kHeldPages ? __shfl_sync(~0u, at < 32 ? held_low : held_high, at % 32) : table[at];
  };
  uint4 key[2][kSteps], value[4][kHalves];
  int step = from + warp;
#if RING
  const int own_steps = step < to ? (to - step + kWarps - 1) / kWarps : 0; // this warp's steps
  const u32 slots = ring + warp * RING * kSlotBytes, ready_at = full + warp * RING * 8;
  if (lane == 0) {
    for (int i = 0; i < RING; i++) barrier_init(ready_at + 8 * i, 1);
    barrier_init_fence();
  }
  __syncthreads();
  auto load = [&](int i, int of) {
    const int page = page_of(of), token = of * 16 % PAGE;
    if (lane == 0) {
      // Before the wait no more than FLIGHT steps of a block are on their way: what the kernel before still reads would queue behind them.
      if (const int awaited = of - from - FLIGHT; FLIGHT > 0 && i < RING && awaited >= 0) barrier_wait(full + (awaited % kWarps * RING + awaited / kWarps) * 8, 0);
      const u32 to_slot = slots + i % RING * kSlotBytes, ready = ready_at + i % RING * 8;
      barrier_expect(ready, kSlotBytes);
#pragma unroll
      for (int c = 0; c < kSlotColumns; c++) tensor_load_4d(to_slot + c * kColumnBytes, &map_k, ready, c * (128 / (int)sizeof(KV)), token, kv, page);
#pragma unroll
      for (int c = 0; c < kSlotColumns; c++) tensor_load_4d(to_slot + kSlotBytes / 2 + c * kColumnBytes, &map_v, ready, c * (128 / (int)sizeof(KV)), token, kv, page);
    }
  };
  // The last step holds the newest token, so it is loaded after the wait.
  const int first = min(own_steps, RING), early = !CONSTANT_HISTORY ? 0 : first > 0 && step + (first - 1) * kWarps + 1 >= steps ? first - 1 : first;
  for (int i = 0; i < early; i++) load(i, step + i * kWarps);
  if (CONSTANT_HISTORY) dependency_wait();
  for (int i = early; i < first; i++) load(i, step + i * kWarps);
  auto from_slot = [&](u32 half, int token_row, int piece) {
    return *(const uint4 *)(raw + (half + piece / 8 * kColumnBytes + token_row * 128 + ((piece % 8) ^ (token_row % 8)) * 16 - shared_address(raw)));
  };
#else
  const KV *k_pool = (const KV *)s.k + kv * s.head_stride, *v_pool = (const KV *)s.v + kv * s.head_stride;
  const long long token_stride = DENSE_TOKENS ? HEAD_DIM : s.token_stride;
  // Where a step's 16 tokens begin. Tokens beyond the length read the page's own memory and are masked.
  auto place = [&](int step) { return (long long)page_of(step) * s.page_stride + (step * 16 % PAGE) * token_stride; };
  auto load_keys = [&](long long at) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < kSteps; i++) key[half][i] = load_once(k_pool + at + (half * 8 + row) * token_stride + (i * 4 + q) * kElements);
  };
  auto load_values = [&](long long at) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < kHalves; h++) value[i][h] = load_once(v_pool + at + value_token(i) * token_stride + (h * 8 + row) * kElements);
  };
  long long at = 0;
#if CONSTANT_HISTORY && __CUDA_ARCH__ >= 900
  // The last step holds the newest token, so it is loaded after the wait.
  const int turn = step + 1 < steps ? 0 : 1;
#pragma unroll 1
  for (int i = 0; i < 2; i++) {
    if (i == 1) asm volatile("griddepcontrol.wait;" ::: "memory");
    if (i == turn && step < to) at = place(step), load_keys(at), load_values(at);
  }
#else
  if (step < to) at = place(step), load_keys(at), load_values(at);
#endif
#endif

  // Q in K's order: as many elements as 16 bytes of K hold, from i * 4 * kElements + q * kElements on. Without a ring it is read for each
  // step, from the L1 after the first, so that registers hold K and V instead.
  constexpr int kQueryLoads = kElements / 8;
  const INPUT *query_from = (const INPUT *)s.q + ((long long)b * s.heads + kv * group + g) * HEAD_DIM + q * kElements;
  uint4 query[kSteps][kQueryLoads];
  auto load_query = [&] {
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kQueryLoads; j++) {
        query[i][j] = make_uint4(0, 0, 0, 0);
        if (g < group) query[i][j] = load_again(query_from + i * 4 * kElements + j * 8);
      }
  };
#if RING
  int used = 0;
  load_query();
#endif
  // Rows: dims; columns 2q, 2q + 1: heads.
  float o[kTiles][4];
#pragma unroll
  for (int i = 0; i < kTiles; i++) o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.0f;
  float most[2] = {kNone, kNone}, sum[2] = {0.0f, 0.0f};

  for (; step < to; step += kWarps) {
    // Rows g and 8 + g: tokens row and 8 + row; columns 2q, 2q + 1: heads.
    float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#if RING
    const u32 slot = slots + used % RING * kSlotBytes;
    barrier_wait(ready_at + used % RING * 8, used / RING & 1);
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < kSteps; i++) key[half][i] = from_slot(slot, half * 8 + row, i * 4 + q);
#else
    load_query();
#endif
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kElements / 4; j++)
        mma(x, pair_along(key[0][i], 2 * j), pair_along(key[1][i], 2 * j), pair_along(key[0][i], 2 * j + 1), pair_along(key[1][i], 2 * j + 1),
            word(query[i][j / 2], j % 2 * 2), word(query[i][j / 2], j % 2 * 2 + 1));
#if RING
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < kHalves; h++) value[i][h] = from_slot(slot + kSlotBytes / 2, value_token(i), h * 8 + row);
#else
    const bool more = step + kWarps < to;
    if (more) at = place(step + kWarps), load_keys(at);
#endif
    if (step * 16 + 16 > length) {
      const int inside = length - step * 16;
      if (row >= inside) x[0] = x[1] = kNone;
      if (8 + row >= inside) x[2] = x[3] = kNone;
      // P is 0 there, but 0 times the NaN of memory that nothing wrote would not be.
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (value_token(i) >= inside)
#pragma unroll
          for (int h = 0; h < kHalves; h++) value[i][h] = make_uint4(0, 0, 0, 0);
    }
    float m[2];
#pragma unroll
    for (int e = 0; e < 2; e++) {
      m[e] = fmaxf(x[e], x[2 + e]);
      m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 4)), m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 8)), m[e] = fmaxf(m[e], __shfl_xor_sync(~0u, m[e], 16));
      m[e] = fmaxf(m[e], most[e]); // finite: a step holds at least one token inside
    }
    if (__any_sync(~0u, m[0] > most[0] || m[1] > most[1]))
#pragma unroll
      for (int e = 0; e < 2; e++) {
        const float factor = exp2_fast((most[e] - m[e]) * scale_log2);
        sum[e] *= factor, most[e] = m[e];
#pragma unroll
        for (int i = 0; i < kTiles; i++) o[i][e] *= factor, o[i][2 + e] *= factor;
      }
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = exp2_fast((x[i] - m[i % 2]) * scale_log2), sum[i % 2] += x[i];
    const u32 p0 = transposed(pack2<INPUT>(x[0], x[1])), p1 = transposed(pack2<INPUT>(x[2], x[3]));
#pragma unroll
    for (int i = 0; i < kTiles; i++) {
      const int low = kHalf(i), high = kHalf(i + kTiles), j = i % kElements, k = (i + kTiles) % kElements;
      mma(o[i], pair_across(value[0][low], value[1][low], j), pair_across(value[0][high], value[1][high], k), pair_across(value[2][low], value[3][low], j),
          pair_across(value[2][high], value[3][high], k), p0, p1);
    }
#if RING
    __syncwarp();
    if (used + RING < own_steps) load(used + RING, step + RING * kWarps);
    used++;
#else
    if (more) load_values(at);
#endif
  }
#pragma unroll
  for (int e = 0; e < 2; e++) sum[e] += __shfl_xor_sync(~0u, sum[e], 4), sum[e] += __shfl_xor_sync(~0u, sum[e], 8), sum[e] += __shfl_xor_sync(~0u, sum[e], 16);

  // Row g of half-tile t is dim (t / kElements * 8 + row) * kElements + t % kElements: four neighbouring t are four neighbouring dims.
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float *to_head = merged(warp, 2 * q + e);
#pragma unroll
    for (int t = 0; t < 2 * kTiles; t += 4) {
      const int i = t % kTiles, r = t / kTiles * 2 + e;
      *(float4 *)(to_head + (kHalf(t) * 8 + row) * kElements + t % kElements) = make_float4(o[i][r], o[i + 1][r], o[i + 2][r], o[i + 3][r]);
    }
    if (g == 0) *(float2 *)(to_head + HEAD_DIM) = make_float2(most[e], sum[e]);
  }
  __syncthreads();
  [[maybe_unused]] const long long pair = (long long)b * s.kv_heads + kv;
#if CLUSTER
  __shared__ alignas(16) float own[8 * (HEAD_DIM + 2)];
  float *mine = own;
#else
  float *mine = s.partial + (pair * s.splits + split) * group * (HEAD_DIM + 2);
#endif
  for (int i = threadIdx.x; i < group * HEAD_DIM / 2; i += kWarps * 32) {
    const int head = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2) * 2;
    float m = kNone, total = 0.0f;
    float2 sums = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int w = 0; w < kWarps; w++) m = fmaxf(m, merged(w, head)[HEAD_DIM]);
#pragma unroll
    for (int w = 0; w < kWarps; w++) {
      const float2 tail = *(const float2 *)(merged(w, head) + HEAD_DIM), v = *(const float2 *)(merged(w, head) + d);
      const float factor = m == kNone ? 0.0f : exp2_fast((tail.x - m) * scale_log2);
      total += tail.y * factor, sums.x += v.x * factor, sums.y += v.y * factor;
    }
    if (s.splits == 1) {
      const float inverse = total > 0.0f ? out_scale / total : 0.0f;
      *(u32 *)((INPUT *)s.out + ((long long)b * s.heads + kv * group + head) * HEAD_DIM + d) = pack2<INPUT>(sums.x * inverse, sums.y * inverse);
    } else {
      *(float2 *)(mine + head * (HEAD_DIM + 2) + d) = sums;
      if (d == 0) *(float2 *)(mine + head * (HEAD_DIM + 2) + HEAD_DIM) = make_float2(m, total);
    }
  }
  if (s.splits == 1) return;
  auto store = [&](int head, int d, float2 value) {
    *(u32 *)((INPUT *)s.out + ((long long)b * s.heads + kv * group + head) * HEAD_DIM + d) = pack2<INPUT>(value.x, value.y);
  };
  // The i-th pair of results of at most 16 splits: all of what they left is asked for at once, by `from(split, place)`.
  constexpr int kAtOnce = 16;
  auto merge_at_once = [&](int i, auto &&from) {
    const int head = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2) * 2;
    float2 part[kAtOnce], tail[kAtOnce];
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) {
      const int at = p < s.splits ? p : 0;
      part[p] = from(at, head * (HEAD_DIM + 2) + d), tail[p] = from(at, head * (HEAD_DIM + 2) + HEAD_DIM);
      if (p >= s.splits) tail[p] = make_float2(kNone, 0.0f);
    }
    float m = kNone, total = 0.0f;
    float2 value = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) m = fmaxf(m, tail[p].x);
#pragma unroll
    for (int p = 0; p < kAtOnce; p++) {
      const float f = tail[p].x == kNone ? 0.0f : exp2_fast((tail[p].x - m) * scale_log2);
      total += tail[p].y * f, value.x += part[p].x * f, value.y += part[p].y * f;
    }
    const float inverse = total > 0.0f ? out_scale / total : 0.0f;
    store(head, d, make_float2(value.x * inverse, value.y * inverse));
  };
#if CLUSTER
  cluster_sync();
  for (int i = split * kWarps * 32 + threadIdx.x; i < group * HEAD_DIM / 2; i += s.splits * kWarps * 32)
    merge_at_once(i, [&](int p, int at) { return cluster_load(mine + at, p); });
  cluster_meet(); // no block leaves while another reads its sums
#else
  // The barrier orders the block's sums before thread 0's release, and what that acquires before the block's loads.
  __syncthreads();
  if (threadIdx.x == 0) {
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;" : "=r"(before) : "l"((u64)(s.arrived + pair)) : "memory");
    last = before == (u32)s.splits - 1;
  }
  __syncthreads();
  if (!last) return;
  if (threadIdx.x == 0) s.arrived[pair] = 0;
  const float *all = s.partial + pair * s.splits * group * (HEAD_DIM + 2);
  if (s.splits <= kAtOnce) {
    for (int i = threadIdx.x; i < group * HEAD_DIM / 2; i += kWarps * 32)
      merge_at_once(i, [&](int p, int at) { return __ldcg((const float2 *)(all + p * group * (HEAD_DIM + 2) + at)); });
    return;
  }
  // Of more splits, each one's weight for each head is computed once, then all sums are loaded with nothing between them.
  float(*weight)[kMostSplits] = (float(*)[kMostSplits])merged(0, 0); // every thread is past its reads
  for (int head = warp; head < group; head += kWarps) {
    float2 tail[kMostSplits / 32];
    float m = kNone, total = 0.0f;
#pragma unroll
    for (int i = 0; i < kMostSplits / 32; i++) {
      const int p = i * 32 + lane;
      tail[i] = p < s.splits ? __ldcg((const float2 *)(all + (p * group + head) * (HEAD_DIM + 2) + HEAD_DIM)) : make_float2(kNone, 0.0f);
      m = fmaxf(m, tail[i].x);
    }
    for (int x = 16; x; x >>= 1) m = fmaxf(m, __shfl_xor_sync(~0u, m, x));
#pragma unroll
    for (int i = 0; i < kMostSplits / 32; i++) {
      tail[i].x = tail[i].x == kNone ? 0.0f : exp2_fast((tail[i].x - m) * scale_log2);
      total += tail[i].y * tail[i].x;
    }
    for (int x = 16; x; x >>= 1) total += __shfl_xor_sync(~0u, total, x);
#pragma unroll
    for (int i = 0; i < kMostSplits / 32; i++) weight[head][i * 32 + lane] = total > 0.0f ? tail[i].x / total * out_scale : 0.0f;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < group * HEAD_DIM / 2; i += kWarps * 32) {
    const int head = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2) * 2;
    float2 value = make_float2(0.0f, 0.0f);
#pragma unroll 16
    for (int p = 0; p < s.splits; p++) {
      const float2 v = __ldcg((const float2 *)(all + (p * group + head) * (HEAD_DIM + 2) + d));
      const float f = weight[head][p];
      value.x += v.x * f, value.y += v.y * f;
    }
    store(head, d, value);
  }
#endif
}
