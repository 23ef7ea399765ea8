/**
 * CudaPreamble: device functions that printed CUDA C++ calls: what C++ leaves undefined or spells differently, with the IR's
 * meaning (integers divide by 0 to 0, shifts by the width move every bit out, minima give NaN if either is).
 */

/** What every printed file starts with. */
export const preamble = `#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

// NaN if either is; −0 is less than 0.
template <typename T> __device__ T maximum(T a, T b) { return a > b ? a : b; }
template <typename T> __device__ T minimum(T a, T b) { return a < b ? a : b; }
template <> __device__ float maximum(float a, float b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? b : a) : fmaxf(a, b);
}
template <> __device__ float minimum(float a, float b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? a : b) : fminf(a, b);
}
template <> __device__ double maximum(double a, double b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? b : a) : fmax(a, b);
}
template <> __device__ double minimum(double a, double b) {
  return isnan(a) ? a : isnan(b) ? b : a == b ? (signbit(a) ? a : b) : fmin(a, b);
}
template <typename T> __device__ T sign_of(T x) { return x > T(0) ? T(1) : x < T(0) ? T(-1) : x; }
// Division and remainder by the integer 0 are 0.
template <typename T> __device__ T quotient(T a, T b) { return b == T(0) ? T(0) : T(a / b); }
template <typename T> __device__ T remainder_truncated(T a, T b) { return b == T(0) ? T(0) : T(a % b); }
template <typename T> __device__ T remainder_floored(T a, T b) {
  if (b == T(0)) return T(0);
  T r = a % b;
  return r != T(0) && (r < T(0)) != (b < T(0)) ? T(r + b) : r;
}
template <> __device__ float remainder_truncated(float a, float b) { return fmodf(a, b); }
template <> __device__ double remainder_truncated(double a, double b) { return fmod(a, b); }
template <> __device__ float remainder_floored(float a, float b) {
  float r = fmodf(a, b);
  return r != 0.0f && (r < 0.0f) != (b < 0.0f) ? __fadd_rn(r, b) : r;
}
template <> __device__ double remainder_floored(double a, double b) {
  double r = fmod(a, b);
  return r != 0.0 && (r < 0.0) != (b < 0.0) ? __dadd_rn(r, b) : r;
}
template <typename T> __device__ T power_of_integers(T base, long long exponent) {
  if (exponent < 0) return base == T(1) ? T(1) : base == T(-1) ? (exponent % 2 == 0 ? T(1) : T(-1)) : T(0);
  T result = 1;
  for (T square = base; exponent > 0; exponent >>= 1, square = T(square * square))
    if (exponent & 1) result = T(result * square);
  return result;
}
// A shift by the width or more, or by a negative amount, moves every bit out.
template <typename T> __device__ T shifted_left(T a, T b) {
  return b >= T(0) && b < T(8 * sizeof(T)) ? T((unsigned long long)a << b) : T(0);
}
template <typename T> __device__ T shifted_right(T a, T b) {
  return b >= T(0) && b < T(8 * sizeof(T)) ? T(a >> b) : a < T(0) ? T(-1) : T(0);
}
// Truncates towards zero, then wraps; NaN and infinities are 0.
template <typename T, typename F> __device__ T to_integer(F x) {
  if (!(fabs((double)x) < INFINITY)) return T(0);
  double whole = trunc((double)x);
  if (fabs(whole) < 9223372036854775808.0) return T((long long)whole);
  double wrapped = fmod(whole, 18446744073709551616.0);
  return T(wrapped < 0 ? 0ull - (unsigned long long)(-wrapped) : (unsigned long long)wrapped);
}
template <typename To, typename From> __device__ To bits_as(From x) {
  static_assert(sizeof(To) == sizeof(From), "the same bits need the same width");
  To y;
  memcpy(&y, &x, sizeof(To));
  return y;
}
__device__ inline float round_f16(float x) { return __half2float(__float2half_rn(x)); }
__device__ inline float round_bf16(float x) { return __bfloat162float(__float2bfloat16_rn(x)); }
__device__ inline float round_f8e4m3(float x) { return (float)__nv_fp8_e4m3(x); }
__device__ inline float round_f8e5m2(float x) { return (float)__nv_fp8_e5m2(x); }
__device__ inline float sigmoid_of(float x) {
  float p = expf(x < 0.0f ? x : -x);
  return x < 0.0f ? __fdiv_rn(p, __fadd_rn(1.0f, p)) : __fdiv_rn(1.0f, __fadd_rn(1.0f, p));
}
__device__ inline double sigmoid_of(double x) {
  double p = exp(x < 0.0 ? x : -x);
  return x < 0.0 ? __ddiv_rn(p, __dadd_rn(1.0, p)) : __ddiv_rn(1.0, __dadd_rn(1.0, p));
}
`
