// What happens to an output element after the main loop, handed in as text.
//
//   -DEPILOGUE_INPUTS="COLUMN(0, f16, bias) MATRIX(1, f16, residual)"  -DEPILOGUE="gelu_erf(v + bias) + residual"
//
// `v` is the accumulator as float; `row`, `column` and `batch` are its place. Inputs are named:
//   COLUMN(i, T, name)  a vector over columns      MATRIX(i, T, name)  shaped and laid out like the output
//   ROW(i, T, name)     a vector over rows         SCALAR(i, T, name)  one element read from memory
//   TILE(i, T, name)    one 16-bit matrix shaped and laid out like the output, whose elements the kernel hands in as pairs, having
//                       fetched them by a tensor map under the products (EPILOGUE_TILE=1; PersistentSm90.cuh)
// `i` is the slot of its pointer in `EpilogueInputs`. Loads are masked by the output's shape.
#pragma once
#include "Element.cuh"

#ifndef EPILOGUE_INPUTS
#define EPILOGUE_INPUTS
#endif
#ifdef EPILOGUE
#define EPILOGUE_TEXT 1
#else
#define EPILOGUE v
#endif

struct EpilogueInputs {
  const void *pointer[6];
};

#define EPILOGUE_ARGUMENT(i, T, name) , const float name
#if EPILOGUE_TILE
#define TILE EPILOGUE_ARGUMENT
#endif
#define COLUMN EPILOGUE_ARGUMENT
#define ROW EPILOGUE_ARGUMENT
#define MATRIX EPILOGUE_ARGUMENT
#define SCALAR EPILOGUE_ARGUMENT
__device__ __forceinline__ float epilogue_element(float v, int row, int column, int batch EPILOGUE_INPUTS) {
  (void)row, (void)column, (void)batch;
  return EPILOGUE;
}
#undef COLUMN
#undef ROW
#undef MATRIX
#undef SCALAR

// Loads two neighbours at `p[0], p[1]`; `count` of them exist (0, 1, 2). 16-bit pairs are one load where `aligned`.
template <class T, bool Whole = false> __device__ __forceinline__ float2 load_pair(const T *p, int count, bool aligned) {
  if (Whole || (count >= 2 && aligned)) {
    if constexpr (sizeof(T) == 2) return unpack2<T>(*(const u32 *)p);
    if constexpr (sizeof(T) == 4) {
      struct alignas(8) Two {
        T x, y;
      };
      const Two two = *(const Two *)p;
      return make_float2(to_float(two.x), to_float(two.y));
    }
  }
  float2 r = make_float2(0.0f, 0.0f);
  if (count >= 1) r.x = to_float(p[0]);
  if (count >= 2) r.y = to_float(p[1]);
  return r;
}

// Two neighbours of one row. `at` is the element offset of (batch, row, column) in an output-shaped matrix; `even` says that
// every pair starts at an even offset, so that pairs can be loaded whole.
// `Whole`: the pair lies inside and starts at an even offset, so its loads need no branch and can all be in flight together.
template <bool Whole = false>
__device__ __forceinline__ float2 epilogue_pair(float2 v, int row, int column, int batch, long long at, bool row_inside,
                                                int columns, bool even, const EpilogueInputs &inputs
#if EPILOGUE_TILE
                                                , u32 tile_pair
#undef TILE
#define TILE(i, T, name) const float2 name = unpack2<T>(tile_pair);
#endif
) {
  const int left = columns - column;
  const int count = left < 0 ? 0 : (left > 2 ? 2 : left);
  (void)at, (void)even, (void)inputs, (void)count, (void)row_inside;
#define COLUMN(i, T, name) const float2 name = load_pair<T, Whole>((const T *)inputs.pointer[i] + column, count, true);
#define ROW(i, T, name)                                                                                                \
  const float name##_row = Whole || row_inside ? to_float(((const T *)inputs.pointer[i])[row]) : 0.0f;                         \
  const float2 name = make_float2(name##_row, name##_row);
#define MATRIX(i, T, name)                                                                                             \
  const float2 name = load_pair<T, Whole>((const T *)inputs.pointer[i] + at, row_inside ? count : 0, even);
#define SCALAR(i, T, name)                                                                                             \
  const float name##_one = to_float(*(const T *)inputs.pointer[i]);                                                   \
  const float2 name = make_float2(name##_one, name##_one);
  EPILOGUE_INPUTS
#undef COLUMN
#undef ROW
#undef MATRIX
#undef SCALAR
  float2 r;
#if EPILOGUE_TILE
#undef TILE
#define TILE COLUMN
#endif
#define COLUMN(i, T, name) , name.x
#define ROW COLUMN
#define MATRIX COLUMN
#define SCALAR COLUMN
  r.x = epilogue_element(v.x, row, column, batch EPILOGUE_INPUTS);
#undef COLUMN
#define COLUMN(i, T, name) , name.y
  r.y = epilogue_element(v.y, row, column + 1, batch EPILOGUE_INPUTS);
#undef COLUMN
#undef ROW
#undef MATRIX
#undef SCALAR
  return r;
}

#if EPILOGUE_TILE
#undef TILE
#define TILE(i, T, name)
#endif
// How many of the inputs are matrices.
#define COLUMN(i, T, name)
#define ROW(i, T, name)
#define SCALAR(i, T, name)
#define MATRIX(i, T, name) +1
constexpr int kEpilogueMatrices = 0 EPILOGUE_INPUTS;
#undef COLUMN
#undef ROW
#undef MATRIX
#undef SCALAR

// Brings the matrices' part of one row, `count` elements from `at` on, into the L2; only whole 16-byte pieces.
template <class T> __device__ __forceinline__ void prefetch_row(const void *matrix, long long at, int count) {
  const T *from = (const T *)matrix + at;
  const u32 bytes = (u32)(count * (int)sizeof(T)) & ~15u;
  if (bytes > 0 && ((u64)from & 15) == 0)
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"((u64)from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void epilogue_prefetch(long long at, int count, const EpilogueInputs &inputs) {
  (void)at, (void)count, (void)inputs;
#define COLUMN(i, T, name)
#define ROW(i, T, name)
#define SCALAR(i, T, name)
#define MATRIX(i, T, name) prefetch_row<T>(inputs.pointer[i], at, count);
#if __CUDA_ARCH__ >= 900
  EPILOGUE_INPUTS
#endif
#undef COLUMN
#undef ROW
#undef MATRIX
#undef SCALAR
}
