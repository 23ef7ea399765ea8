// An expression over the elements of a matrix: out[r, c] = EXPRESSION of named inputs, 16 bytes of each a thread and step.
//
//   -DINPUTS="MATRIX(0, x) COLUMN(1, bias)" -DEXPRESSION="gelu_erf(x + bias)"
//   threads of a block take neighbouring vectors; VECTORS of them, a block apart, are loaded before the first is used
//
// Types      f16 | bf16 (T) for every input and the output, float inside.
// Needs      sm_75+; columns a multiple of 8, 16-byte aligned.
// Floor      each input read once, the output written once, at copy bandwidth.
// Parameters THREADS, VECTORS. docs/kernels/pointwise-sm75.md.
#include "Element.cuh"

#ifndef T
#define T f16
#endif
#ifndef THREADS
#define THREADS 256
#endif
#ifndef VECTORS
#define VECTORS 4
#endif
#ifndef INPUTS
#define INPUTS MATRIX(0, x)
#endif
#ifndef EXPRESSION
#define EXPRESSION x
#endif

struct PointwiseShape {
  long long vectors; // of 8 elements
  int columns, unused;
  const void *input[6];
  void *out;
};

#define MATRIX(i, name) , const float name
#define COLUMN(i, name) , const float name
__device__ __forceinline__ float element(int INPUTS) { return EXPRESSION; }
#undef MATRIX
#undef COLUMN

struct Loaded {
#define MATRIX(i, name) uint4 name;
#define COLUMN(i, name) uint4 name;
  INPUTS
#undef MATRIX
#undef COLUMN
};

extern "C" __global__ void __launch_bounds__(THREADS) pointwise(const __grid_constant__ PointwiseShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const long long first = (long long)blockIdx.x * THREADS * VECTORS + threadIdx.x;
  Loaded loaded[VECTORS];
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    const long long at = first + i * THREADS;
    if (at >= s.vectors) break;
    [[maybe_unused]] const int column = (int)(at * 8 % s.columns);
#define MATRIX(i_, name) loaded[i].name = ((const uint4 *)s.input[i_])[at];
#define COLUMN(i_, name) loaded[i].name = *(const uint4 *)((const T *)s.input[i_] + column);
    INPUTS
#undef MATRIX
#undef COLUMN
  }
#pragma unroll
  for (int i = 0; i < VECTORS; i++) {
    const long long at = first + i * THREADS;
    if (at >= s.vectors) break;
    u32 out[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
#define MATRIX(i_, name) const float2 name = unpack2<T>(j == 0 ? loaded[i].name.x : j == 1 ? loaded[i].name.y : j == 2 ? loaded[i].name.z : loaded[i].name.w);
#define COLUMN MATRIX
      INPUTS
#undef MATRIX
#define MATRIX(i_, name) , name.x
      const float lo = element(0 INPUTS);
#undef MATRIX
#define MATRIX(i_, name) , name.y
      const float hi = element(0 INPUTS);
#undef MATRIX
#undef COLUMN
      out[j] = pack2<T>(lo, hi);
    }
    ((uint4 *)s.out)[at] = make_uint4(out[0], out[1], out[2], out[3]);
  }
}
