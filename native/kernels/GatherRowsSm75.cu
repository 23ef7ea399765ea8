// Rows picked from tables by index, combined by an expression: out[i, :] = EXPRESSION of TABLE rows at index[i] and of columns.
//
//   -DINPUTS="TABLE(0, word) TABLE(1, position) COLUMN(2, bias)" -DEXPRESSION="word + position"     (an embedding)
//   a warp takes a row of the output, 16 bytes a lane and step
//
// An index counts from the table's end when it is negative; one that lies outside writes zeros and raises `outside`.
// Types      T f16 | bf16 for tables and output, float inside; indices INDEX s32 | s64.
// Needs      sm_75+; columns a multiple of 8, 16-byte aligned rows.
// Floor      the picked rows read once, the output written once.
// Parameters T, INDEX, INPUTS, EXPRESSION. docs/kernels/gather-sm75.md.
#include "Element.cuh"

#ifndef T
#define T f16
#endif
typedef long long s64;
#ifndef INDEX
#define INDEX s64
#endif
#ifndef INPUTS
#define INPUTS TABLE(0, x)
#endif
#ifndef EXPRESSION
#define EXPRESSION x
#endif

struct GatherShape {
  int rows, columns;
  const T *input[4];
  const INDEX *index[4];
  s64 table_rows[4];
  T *out;
  u32 *outside; // set to 1, never cleared
};

#define TABLE(i, name) , const float name
#define COLUMN(i, name) , const float name
__device__ __forceinline__ float element(int INPUTS) { return EXPRESSION; }
#undef TABLE
#undef COLUMN

extern "C" __global__ void __launch_bounds__(256) gather_rows(const __grid_constant__ GatherShape s) {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;\ngriddepcontrol.wait;" ::: "memory");
#endif
  const int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= s.rows) return;
  bool outside = false;
#define COLUMN(i, name) const T *name##_at = s.input[i];
#define TABLE(i, name)                                                  \
  s64 name##_row = s.index[i][row];                                     \
  if (name##_row < 0) name##_row += s.table_rows[i];                    \
  if (name##_row < 0 || name##_row >= s.table_rows[i]) outside = true, name##_row = 0; \
  const T *name##_at = s.input[i] + name##_row * s.columns;
  INPUTS
#undef TABLE
#undef COLUMN
  if (outside && lane == 0) *s.outside = 1;
  for (int c = lane * 8; c < s.columns; c += 256) {
#define TABLE(i, name) const uint4 name##_raw = *(const uint4 *)(name##_at + c); const u32 name##_words[4] = {name##_raw.x, name##_raw.y, name##_raw.z, name##_raw.w};
#define COLUMN TABLE
    INPUTS
#undef TABLE
#undef COLUMN
    u32 out[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
#define TABLE(i, name) const float2 name = unpack2<T>(name##_words[j]);
#define COLUMN TABLE
      INPUTS
#undef TABLE
#define TABLE(i, name) , name.x
      const float lo = element(0 INPUTS);
#undef TABLE
#define TABLE(i, name) , name.y
      const float hi = element(0 INPUTS);
#undef TABLE
#undef COLUMN
      out[j] = outside ? 0u : pack2<T>(lo, hi);
    }
    *(uint4 *)(s.out + (s64)row * s.columns + c) = make_uint4(out[0], out[1], out[2], out[3]);
  }
}
