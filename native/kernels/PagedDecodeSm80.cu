// Paged decode attention: one query a sequence against its pages of K and V, at the speed of reading the pages once.
//
//   grid: split x kv head x sequence; block: WARPS warps, each takes 16 tokens in turn
//     the GROUP query heads of a kv head are the columns of mma.m16n8k16, tokens (of K) and dims (of V) its rows, so every K and V
//     element is read once for all of them and no row of the product is idle
//     K: lane (g, q) loads 16 bytes of tokens g and 8 + g: the order of dim inside the product is free as long as Q follows it
//     V: lane (g, q) loads 16 bytes (dims 8g..) of tokens 2q, 2q+1, 8+2q, 9+2q; P reaches their lanes by movmatrix
//   CONSTANT_HISTORY=1: lengths, table, K and V but for each sequence's last 16 tokens were written before the kernel before this
//   one started (in a decode step only the newest token is new), so a warp's first loads don't wait for that kernel
//   K and V go from global memory to the tensor cores without shared memory; warps, then splits, are merged by their row
//   maxima and sums: the splits of a (sequence, head) are a cluster that reads one another's shared memory (CLUSTER=1, sm_90,
//   at most 16), or the last one to finish merges what all left in memory
//
// Types      INPUT f16 | bf16 for q and out; float softmax. HEAD_DIM 64 | 128. KV as INPUT, or e4m3 (sm_89+) or s8 with a float
//            scale for each kv head, turned into 16 bits in registers.
// Layouts    q, out [batch, heads, dim]; K, V pools by strides of page, head and token (DENSE_TOKENS=1: tokens one after another); table [batch, pages of a sequence].
// Needs      sm_80+; pages a multiple of 16 tokens; heads / kv heads <= 8; 16-byte aligned rows.
// Floor      bytes of K and V once at copy bandwidth.
// Parameters HEAD_DIM, PAGE, WARPS, BLOCKS_PER_SM, CLUSTER, CONSTANT_HISTORY, DENSE_TOKENS; splits (at most 64, in a cluster 16) at launch. docs/kernels/paged-decode-sm80.md.
#include "Element.cuh"

#ifndef INPUT
#define INPUT f16
#endif
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
#ifndef KV
#define KV INPUT
#endif
#ifndef DENSE_TOKENS
#define DENSE_TOKENS 0
#endif
#ifndef CONSTANT_HISTORY
#define CONSTANT_HISTORY 0
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

__device__ __forceinline__ void mma(float (&d)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  if constexpr (__is_same(INPUT, bf16)) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}
// An 8 x 8 matrix of 16-bit elements, a row's pair in each lane, becomes its transpose in the same places.
__device__ __forceinline__ u32 transposed(u32 v) {
  u32 r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
  return r;
}
__device__ __forceinline__ uint4 load_once(const void *p) {
  uint4 v;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
__device__ __forceinline__ uint4 load_again(const void *p) {
  uint4 v;
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
__device__ __forceinline__ float exp2_fast(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}
#if CLUSTER
__device__ __forceinline__ void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ __forceinline__ float2 cluster_load(const void *mine, u32 block) {
  float2 r;
  asm volatile("{\n.reg .b32 at;\nmapa.shared::cluster.u32 at, %2, %3;\nld.shared::cluster.v2.f32 {%0, %1}, [at];\n}" : "=f"(r.x), "=f"(r.y) : "r"((u32)__cvta_generic_to_shared(mine)), "r"(block));
  return r;
}
#endif
__device__ __forceinline__ u32 word(const uint4 &v, int i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Two bytes, in the low half, as two of INPUT.
__device__ __forceinline__ u32 widen(u32 two) {
  if constexpr (__is_same(KV, s8)) {
    // The byte with its sign flipped under the exponent of 1024 (f16), less 1152; bf16 through float.
    const u32 w = two ^ 0x8080u;
    if constexpr (__is_same(INPUT, f16)) {
      u32 r = __byte_perm(w, 0x64646464u, 0x4140);
      asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(r) : "r"(0x64806480u));
      return r;
    } else {
      return pack2<INPUT>((float)(signed char)two, (float)(signed char)(two >> 8));
    }
  } else {
#if __CUDA_ARCH__ >= 890
    u32 r;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(r) : "h"((u16)two));
    if constexpr (__is_same(INPUT, f16)) return r;
    const float2 f = unpack2<f16>(r);
    return pack2<INPUT>(f.x, f.y);
#else
    return 0;
#endif
  }
}
// Two neighbouring elements of 16 bytes as a pair, the i-th.
__device__ __forceinline__ u32 pair_along(const uint4 &v, int i) {
  if constexpr (sizeof(KV) == 2) return word(v, i);
  else return widen(i % 2 ? word(v, i / 2) >> 16 : word(v, i / 2));
}
// Element i of two tokens' 16 bytes as a pair.
__device__ __forceinline__ u32 pair_across(const uint4 &a, const uint4 &b, int i) {
  if constexpr (sizeof(KV) == 2) return __byte_perm(word(a, i / 2), word(b, i / 2), i % 2 ? 0x7632 : 0x5410);
  else return widen(__byte_perm(word(a, i / 4), word(b, i / 4), (i % 4) | (4 + i % 4) << 4));
}

constexpr int kTiles = HEAD_DIM / 16;     // of 16 dims: the upper rows are the lower ones' dims + 8 or + 8 pieces
constexpr int kLine = HEAD_DIM + 4;       // a head's sums, then its row maximum and row sum
constexpr int kHalf(int tile) { return tile / kElements; }

extern "C" __global__ void __launch_bounds__(kWarps * 32, BLOCKS_PER_SM) decode(const __grid_constant__ DecodeShape s) {
  __shared__ alignas(16) float merged[kWarps][8][kLine];
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
  const KV *k_pool = (const KV *)s.k + kv * s.head_stride, *v_pool = (const KV *)s.v + kv * s.head_stride;
  const float scale_log2 = s.scale_log2 * (sizeof(KV) == 1 ? s.k_scales[kv] : 1.0f), out_scale = sizeof(KV) == 1 ? s.v_scales[kv] : 1.0f;

  const long long token_stride = DENSE_TOKENS ? HEAD_DIM : s.token_stride;
  uint4 key[2][kSteps], value[4][kHalves];
  // Where a step's 16 tokens begin. Tokens beyond the length read the page's own memory and are masked.
  auto place = [&](int step) {
    const int at = step * 16 / PAGE;
    const int page = at < kHeldPages ? __shfl_sync(~0u, at < 32 ? held_low : held_high, at % 32) : table[at];
    return (long long)page * s.page_stride + (step * 16 % PAGE) * token_stride;
  };
  auto load_keys = [&](long long at) {
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int i = 0; i < kSteps; i++) key[half][i] = load_once(k_pool + at + (half * 8 + g) * token_stride + (i * 4 + q) * kElements);
  };
  auto load_values = [&](long long at) {
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
      for (int h = 0; h < kHalves; h++) value[i][h] = load_once(v_pool + at + (i / 2 * 8 + q * 2 + i % 2) * token_stride + (h * 8 + g) * kElements);
  };
  int step = from + warp;
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

  // Q in K's order: as many elements as 16 bytes of K hold, from i * 4 * kElements + q * kElements on. Read for each step, from the
  // L1 after the first, so that registers hold K and V instead.
  constexpr int kQueryLoads = kElements / 8;
  const INPUT *query_from = (const INPUT *)s.q + ((long long)b * s.heads + kv * group + g) * HEAD_DIM + q * kElements;
  // Rows: dims; columns 2q, 2q + 1: heads.
  float o[kTiles][4];
#pragma unroll
  for (int i = 0; i < kTiles; i++) o[i][0] = o[i][1] = o[i][2] = o[i][3] = 0.0f;
  float most[2] = {kNone, kNone}, sum[2] = {0.0f, 0.0f};

  for (; step < to; step += kWarps) {
    // Rows g and 8 + g: tokens; columns 2q, 2q + 1: heads.
    float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    uint4 query[kSteps][kQueryLoads];
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kQueryLoads; j++) {
        query[i][j] = make_uint4(0, 0, 0, 0);
        if (g < group) query[i][j] = load_again(query_from + i * 4 * kElements + j * 8);
      }
#pragma unroll
    for (int i = 0; i < kSteps; i++)
#pragma unroll
      for (int j = 0; j < kElements / 4; j++)
        mma(x, pair_along(key[0][i], 2 * j), pair_along(key[1][i], 2 * j), pair_along(key[0][i], 2 * j + 1), pair_along(key[1][i], 2 * j + 1),
            word(query[i][j / 2], j % 2 * 2), word(query[i][j / 2], j % 2 * 2 + 1));
    const bool more = step + kWarps < to;
    if (more) at = place(step + kWarps), load_keys(at);
    if (step * 16 + 16 > length) {
      const int inside = length - step * 16;
      if (g >= inside) x[0] = x[1] = kNone;
      if (8 + g >= inside) x[2] = x[3] = kNone;
      // P is 0 there, but 0 times the NaN of memory that nothing wrote would not be.
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (i / 2 * 8 + q * 2 + i % 2 >= inside)
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
    if (more) load_values(at);
  }
#pragma unroll
  for (int e = 0; e < 2; e++) sum[e] += __shfl_xor_sync(~0u, sum[e], 4), sum[e] += __shfl_xor_sync(~0u, sum[e], 8), sum[e] += __shfl_xor_sync(~0u, sum[e], 16);

  // Row g of half-tile t is dim (t / kElements * 8 + g) * kElements + t % kElements: four neighbouring t are four neighbouring dims.
#pragma unroll
  for (int e = 0; e < 2; e++) {
    float *to_head = merged[warp][2 * q + e];
#pragma unroll
    for (int t = 0; t < 2 * kTiles; t += 4) {
      const int i = t % kTiles, r = t / kTiles * 2 + e;
      *(float4 *)(to_head + (kHalf(t) * 8 + g) * kElements + t % kElements) = make_float4(o[i][r], o[i + 1][r], o[i + 2][r], o[i + 3][r]);
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
    for (int w = 0; w < kWarps; w++) m = fmaxf(m, merged[w][head][HEAD_DIM]);
#pragma unroll
    for (int w = 0; w < kWarps; w++) {
      const float2 tail = *(const float2 *)&merged[w][head][HEAD_DIM], v = *(const float2 *)&merged[w][head][d];
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
#if CLUSTER
  cluster_sync();
  for (int i = split * kWarps * 32 + threadIdx.x; i < group * HEAD_DIM / 2; i += s.splits * kWarps * 32) {
    const int head = i / (HEAD_DIM / 2), d = i % (HEAD_DIM / 2) * 2;
    float2 part[16], tail[16];
#pragma unroll
    for (int p = 0; p < 16; p++) {
      const u32 block = p < s.splits ? p : 0;
      part[p] = cluster_load(mine + head * (HEAD_DIM + 2) + d, block), tail[p] = cluster_load(mine + head * (HEAD_DIM + 2) + HEAD_DIM, block);
      if (p >= s.splits) tail[p] = make_float2(kNone, 0.0f);
    }
    float m = kNone, total = 0.0f;
    float2 value = make_float2(0.0f, 0.0f);
#pragma unroll
    for (int p = 0; p < 16; p++) m = fmaxf(m, tail[p].x);
#pragma unroll
    for (int p = 0; p < 16; p++) {
      const float f = tail[p].x == kNone ? 0.0f : exp2_fast((tail[p].x - m) * scale_log2);
      total += tail[p].y * f, value.x += part[p].x * f, value.y += part[p].y * f;
    }
    const float inverse = total > 0.0f ? out_scale / total : 0.0f;
    *(u32 *)((INPUT *)s.out + ((long long)b * s.heads + kv * group + head) * HEAD_DIM + d) = pack2<INPUT>(value.x * inverse, value.y * inverse);
  }
  cluster_sync(); // no block leaves while another reads its sums
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
  // Each split's weight for each head is computed once, then all sums are loaded with nothing between them.
  const float *all = s.partial + pair * s.splits * group * (HEAD_DIM + 2);
  float(*weight)[kMostSplits] = (float(*)[kMostSplits]) & merged[0][0][0]; // every thread is past its reads
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
    *(u32 *)((INPUT *)s.out + ((long long)b * s.heads + kv * group + head) * HEAD_DIM + d) = pack2<INPUT>(value.x, value.y);
  }
  if (threadIdx.x == 0) s.arrived[pair] = 0;
#endif
}
