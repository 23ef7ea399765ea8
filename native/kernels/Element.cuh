// Element types as bit patterns with conversions written in PTX, so that a template needs no CUDA headers and NVRTC can
// compile it on a host that has none. One-line example: `float x = to_float(f16{bits}); f16 h = from_float<f16>(x)`.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef int s32;

struct f16 {
  u16 bits;
};
struct bf16 {
  u16 bits;
};
struct e4m3 {
  u8 bits;
};
struct e5m2 {
  u8 bits;
};

template <class T> __device__ __forceinline__ float to_float(T v);
template <> __device__ __forceinline__ float to_float<float>(float v) { return v; }
template <> __device__ __forceinline__ float to_float<s32>(s32 v) { return (float)v; }
template <> __device__ __forceinline__ float to_float<s8>(s8 v) { return (float)v; }
template <> __device__ __forceinline__ float to_float<f16>(f16 v) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v.bits));
  return r;
}
template <> __device__ __forceinline__ float to_float<bf16>(bf16 v) { return __uint_as_float((u32)v.bits << 16); }

template <class T> __device__ __forceinline__ T from_float(float v);
template <> __device__ __forceinline__ float from_float<float>(float v) { return v; }
template <> __device__ __forceinline__ s32 from_float<s32>(float v) { return __float2int_rn(v); }
template <> __device__ __forceinline__ s8 from_float<s8>(float v) {
  int r;
  asm("cvt.rni.sat.s8.f32 %0, %1;" : "=r"(r) : "f"(v));
  return (s8)r;
}
template <> __device__ __forceinline__ f16 from_float<f16>(float v) {
  f16 r;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
  return r;
}
template <> __device__ __forceinline__ bf16 from_float<bf16>(float v) {
  bf16 r;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r.bits) : "f"(v));
#else
  u32 b = __float_as_uint(v);
  r.bits = (b & 0x7fffffffu) > 0x7f800000u ? (u16)0x7fff : (u16)((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
#endif
  return r;
}

#if __CUDA_ARCH__ >= 890
template <> __device__ __forceinline__ float to_float<e4m3>(e4m3 v) {
  u32 h;
  asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(h) : "h"((u16)v.bits));
  return to_float(f16{(u16)h});
}
template <> __device__ __forceinline__ float to_float<e5m2>(e5m2 v) { return to_float(f16{(u16)((u16)v.bits << 8)}); }
template <> __device__ __forceinline__ e4m3 from_float<e4m3>(float v) {
  u16 r;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(r) : "f"(0.0f), "f"(v));
  return e4m3{(u8)r};
}
template <> __device__ __forceinline__ e5m2 from_float<e5m2>(float v) {
  u16 r;
  asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(r) : "f"(0.0f), "f"(v));
  return e5m2{(u8)r};
}
#endif

// Two neighbours packed into one 32-bit register, the first in the low half.
template <class T> __device__ __forceinline__ u32 pack2(float lo, float hi);
template <> __device__ __forceinline__ u32 pack2<f16>(float lo, float hi) {
  u32 r;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
#else
  r = (u32)from_float<f16>(lo).bits | ((u32)from_float<f16>(hi).bits << 16);
#endif
  return r;
}
template <> __device__ __forceinline__ u32 pack2<bf16>(float lo, float hi) {
  u32 r;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
#else
  r = (u32)from_float<bf16>(lo).bits | ((u32)from_float<bf16>(hi).bits << 16);
#endif
  return r;
}

template <class T> __device__ __forceinline__ float2 unpack2(u32 v);
template <> __device__ __forceinline__ float2 unpack2<f16>(u32 v) {
  return make_float2(to_float(f16{(u16)v}), to_float(f16{(u16)(v >> 16)}));
}
template <> __device__ __forceinline__ float2 unpack2<bf16>(u32 v) {
  return make_float2(__uint_as_float(v << 16), __uint_as_float(v & 0xffff0000u));
}

// Activations that epilogue text may name.
__device__ __forceinline__ float relu(float x) { return fmaxf(x, 0.0f); }
// x * Phi(x) by Abramowitz and Stegun 7.1.26 (|erf error| < 1.5e-7): no branch, 13 instructions where erff takes about 40.
// Absolute error under 1e-7 * |x|, below the rounding of 16-bit outputs.
__device__ __forceinline__ float gelu_erf(float x) {
  const float a = fabsf(x), y = a * 0.70710678118654752f;
  const float t = __fdividef(1.0f, fmaf(0.3275911f, y, 1.0f));
  float p = fmaf(0.5307027145f, t, -0.7265760135f);
  p = fmaf(p, t, 0.7107068705f), p = fmaf(p, t, -0.142248368f), p = fmaf(p, t, 0.127414796f);
  float e;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(y * y * -1.4426950408889634f));
  return fmaf(-a, p * t * e, fmaxf(x, 0.0f));
}
#if GELU_SHORT
// The same by erf(x / sqrt 2) = tanh(x * p(x * x)), half the instructions: |error| < 2.5e-5 by the polynomial, and tanh.approx adds
// 2.4e-4 * |x|, half an ulp of f16 at most.
__device__ __forceinline__ float gelu_erf_short(float x) {
  const float y = fminf(x * x, 20.822934f);
  const float u = x * fmaf(fmaf(-0.00035151860f, y, 0.037005662f), y, 0.79750786f), h = 0.5f * x;
  float t;
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(u));
  return fmaf(h, t, h);
}
#endif
__device__ __forceinline__ float gelu_erf_exact(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }
__device__ __forceinline__ float gelu_tanh(float x) {
  const float u = 0.79788456080286536f * (x + 0.044715f * x * x * x);
  float t;
#if __CUDA_ARCH__ >= 750
  asm("tanh.approx.f32 %0, %1;" : "=f"(t) : "f"(u));
#else
  t = tanhf(u);
#endif
  return 0.5f * x * (1.0f + t);
}
__device__ __forceinline__ float sigmoid(float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }
__device__ __forceinline__ float silu(float x) { return x * sigmoid(x); }
