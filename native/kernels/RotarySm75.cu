// Rotary embedding of queries and keys, with keys and values written to their pages: one pass over [tokens, q | k | v].
//
//   a thread takes 8 neighbours and the 8 they turn with: halves of the head (INTERLEAVED=0: i with i + dim / 2) or
//   neighbours (1: 2i with 2i + 1); (x, y) -> (x cos - y sin, y cos + x sin), cos and sin from a table [positions, dim / 2]
//     q -> q_out [tokens, heads, dim]     k, v -> pools [pages, kv heads, page, dim] at slot[token] (below 0: nowhere)
//
// Types      T f16 | bf16 in and out; KV as T, or e4m3 (sm_89+) or s8 by a float scale for each kv head (value / scale).
//            The table is float.
// Needs      sm_75+; dim a multiple of 16 (INTERLEAVED: 8), rows on 16 bytes.
// Floor      qkv read once, q, k, v written once, the table's rows from the L2.
// Parameters T, KV, INTERLEAVED, THREADS. docs/kernels/rotary-sm75.md.
#include "Element.cuh"

#ifndef T
#define T f16
#endif
#ifndef KV
#define KV T
#endif
#ifndef INTERLEAVED
#define INTERLEAVED 0
#endif
#ifndef THREADS
#define THREADS 256
#endif

struct RotaryShape {
  int tokens, heads, kv_heads, dim, page, unused;
  long long qkv_stride, page_stride, head_stride, token_stride; // elements
  const T *qkv;
  const float *cosine, *sine; // [positions, dim / 2]
  const s32 *positions, *slots;
  T *q_out;
  KV *k_pool, *v_pool;
  const float *k_scales, *v_scales; // [kv heads], where KV is narrow
};

struct Eight {
  float v[8];
};
__device__ __forceinline__ Eight load8(const T *p) {
  const uint4 raw = *(const uint4 *)p;
  const u32 w[4] = {raw.x, raw.y, raw.z, raw.w};
  Eight e;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 f = unpack2<T>(w[i]);
    e.v[2 * i] = f.x, e.v[2 * i + 1] = f.y;
  }
  return e;
}
template <class To> __device__ __forceinline__ void store8(To *p, const Eight &e, float factor) {
  if constexpr (sizeof(To) == 2) {
    *(uint4 *)p = make_uint4(pack2<To>(e.v[0], e.v[1]), pack2<To>(e.v[2], e.v[3]), pack2<To>(e.v[4], e.v[5]), pack2<To>(e.v[6], e.v[7]));
  } else {
    To out[8];
#pragma unroll
    for (int i = 0; i < 8; i++) out[i] = from_float<To>(e.v[i] * factor);
    uint2 two;
    __builtin_memcpy(&two, out, 8);
    *(uint2 *)p = two;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) rotary(const __grid_constant__ RotaryShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  // Pieces of a head: 8 and their partners, or 8 that turn among themselves; values are copied in the same pieces.
  const int half = s.dim / 2, span = INTERLEAVED ? 8 : 16, pieces = s.dim / span, all_heads = s.heads + 2 * s.kv_heads;
  const long long count = (long long)s.tokens * all_heads * pieces;
  const long long i = blockIdx.x * (long long)THREADS + threadIdx.x;
  if (i >= count) return;
  const int piece = (int)(i % pieces), head = (int)(i / pieces % all_heads), token = (int)(i / pieces / all_heads);
  const T *from = s.qkv + token * s.qkv_stride + (long long)head * s.dim;
  const int first = piece * 8, second = INTERLEAVED ? first : half + first;
  Eight a = load8(from + first), b = a;
  if (!INTERLEAVED) b = load8(from + second);
  if (head < s.heads + s.kv_heads) {
    const long long row = (long long)s.positions[token] * half;
    if (INTERLEAVED) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float c = s.cosine[row + first / 2 + j], n = s.sine[row + first / 2 + j], x = a.v[2 * j], y = a.v[2 * j + 1];
        a.v[2 * j] = x * c - y * n, a.v[2 * j + 1] = y * c + x * n;
      }
    } else {
#pragma unroll
      for (int j = 0; j < 8; j++) {
        const float c = s.cosine[row + first + j], n = s.sine[row + first + j], x = a.v[j], y = b.v[j];
        a.v[j] = x * c - y * n, b.v[j] = y * c + x * n;
      }
    }
  }
  if (head < s.heads) {
    T *to = s.q_out + ((long long)token * s.heads + head) * s.dim;
    store8<T>(to + first, a, 1.0f);
    if (!INTERLEAVED) store8<T>(to + second, b, 1.0f);
    return;
  }
  const int slot = s.slots[token];
  if (slot < 0) return;
  const bool is_key = head < s.heads + s.kv_heads;
  const int kv = head - s.heads - (is_key ? 0 : s.kv_heads);
  KV *to = (is_key ? s.k_pool : s.v_pool) + slot / s.page * s.page_stride + kv * s.head_stride + slot % s.page * s.token_stride;
  const float factor = sizeof(KV) == 1 ? 1.0f / (is_key ? s.k_scales : s.v_scales)[kv] : 1.0f;
  store8<KV>(to + first, a, factor);
  if (!INTERLEAVED) store8<KV>(to + second, b, factor);
}
