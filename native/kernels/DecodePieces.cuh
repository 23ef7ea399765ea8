// What paged decode does with 16 bytes of K or V: narrow elements widened, pairs along a token or across two, small matrices turned over, products.
// INPUT f16 | bf16 and KV are macros of the template that includes it.
#pragma once
#include "Element.cuh"

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
