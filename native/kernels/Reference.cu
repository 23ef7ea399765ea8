// What the harness measures against: random inputs, products in float64, comparison. Simple on purpose.
// Types are codes, as in native/test-gpu/Element.hpp. Needs sm_89+ (fp8 conversions). Not a template.
#include "Element.cuh"

__device__ double load_as_double(const void *p, int type, long long i) {
  switch (type) {
    case 0: return (double)to_float(((const f16 *)p)[i]);
    case 1: return (double)to_float(((const bf16 *)p)[i]);
    case 2: case 3: return (double)((const float *)p)[i];
    case 4: return (double)to_float(((const e4m3 *)p)[i]);
    case 5: return (double)to_float(((const e5m2 *)p)[i]);
    case 6: return (double)((const s8 *)p)[i];
    case 7: return (double)((const s32 *)p)[i];
    case 8: return ((const double *)p)[i];
  }
  return 0.0;
}

__device__ u32 mix(u64 x) {
  x ^= x >> 33, x *= 0xff51afd7ed558ccdull, x ^= x >> 33, x *= 0xc4ceb9fe1a85ec53ull, x ^= x >> 33;
  return (u32)x;
}

// Near-normal values (sum of four uniforms) times `scale`; integers uniform in [-127, 127]; type 9: raw random bytes.
extern "C" __global__ void fill(void *p, int type, long long count, u64 seed, float scale) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
    const u32 r = mix(seed * 0x9e3779b97f4a7c15ull + i);
    const float z = ((float)(r & 255) + (float)(r >> 8 & 255) + (float)(r >> 16 & 255) + (float)(r >> 24) - 510.0f) / 148.0f * scale;
    switch (type) {
      case 0: ((f16 *)p)[i] = from_float<f16>(z); break;
      case 1: ((bf16 *)p)[i] = from_float<bf16>(z); break;
      case 2: case 3: ((float *)p)[i] = z + (float)(r & 0xffff) * 1e-7f * scale; break;
      case 4: ((e4m3 *)p)[i] = from_float<e4m3>(z); break;
      case 5: ((e5m2 *)p)[i] = from_float<e5m2>(z); break;
      case 6: ((s8 *)p)[i] = (s8)((int)(r % 255u) - 127); break;
      case 7: ((s32 *)p)[i] = (int)(r % 2001u) - 1000; break;
      case 9: ((u8 *)p)[i] = (u8)(r >> 7); break;
    }
  }
}

// out[b, m, n] = sum over k of A[b, m, k] * B[b, n, k], strides in elements.
extern "C" __global__ void reference_product(double *out, const void *a, const void *b, int type_a, int type_b, int m, int n, int k,
                                             long long a_m, long long a_k, long long a_batch, long long b_n, long long b_k, long long b_batch) {
  __shared__ double ta[16][17], tb[16][17];
  const int row = blockIdx.y * 16 + threadIdx.y, column = blockIdx.x * 16 + threadIdx.x, z = blockIdx.z;
  double sum = 0.0;
  for (int k0 = 0; k0 < k; k0 += 16) {
    const int kx = k0 + threadIdx.x, nb = blockIdx.x * 16 + threadIdx.y;
    ta[threadIdx.y][threadIdx.x] = row < m && kx < k ? load_as_double(a, type_a, z * a_batch + row * a_m + kx * a_k) : 0.0;
    tb[threadIdx.y][threadIdx.x] = nb < n && kx < k ? load_as_double(b, type_b, z * b_batch + nb * b_n + kx * b_k) : 0.0;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 16; i++) sum += ta[threadIdx.y][i] * tb[threadIdx.x][i];
    __syncthreads();
  }
  if (row < m && column < n) out[((long long)z * m + row) * n + column] = sum;
}

// The epilogues of the tests, in float64: 0 none; 1 gelu(v + bias) + residual; 2 relu(v + bias); 3 relu(v + bias + residual);
// 4 v * row scale * column scale (inputs: bias = column scale, residual = row scale, both float).
extern "C" __global__ void reference_epilogue(double *out, int kind, const void *bias, const void *residual, int type, int rows, int columns,
                                              int rows_of_batch, long long row_stride, long long batch_stride) {
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
    const long long row = i / columns, column = i % columns, b = row / rows_of_batch, r = row % rows_of_batch;
    double v = out[i];
    if (kind == 1) {
      v += load_as_double(bias, type, column);
      v = 0.5 * v * (1.0 + erf(v * 0.70710678118654752440)) + load_as_double(residual, type, b * batch_stride + r * row_stride + column);
    } else if (kind == 2) {
      v = fmax(v + load_as_double(bias, type, column), 0.0);
    } else if (kind == 3) {
      v = fmax(v + load_as_double(bias, type, column) + load_as_double(residual, type, b * batch_stride + r * row_stride + column), 0.0);
    } else if (kind == 4) {
      v *= (double)((const float *)bias)[column] * (double)((const float *)residual)[r];
    }
    out[i] = v;
  }
}

// sums: 0 squared error, 1 squared reference, 2 elements that are not finite. `worst`: largest |error| as float bits.
extern "C" __global__ void compare(double *sums, u32 *worst, const void *out, int type, const double *reference, int rows, int columns,
                                   int rows_of_batch, long long row_stride, long long batch_stride) {
  double error = 0.0, size = 0.0, bad = 0.0;
  float most = 0.0f;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
    const long long row = i / columns, column = i % columns, b = row / rows_of_batch, r = row % rows_of_batch;
    const double v = load_as_double(out, type, b * batch_stride + r * row_stride + column), e = v - reference[i];
    if (!(fabs(v) < 1e300)) bad += 1.0;
    else error += e * e, most = fmaxf(most, (float)fabs(e));
    size += reference[i] * reference[i];
  }
  for (int o = 16; o; o >>= 1) {
    error += __shfl_xor_sync(~0u, error, o), size += __shfl_xor_sync(~0u, size, o), bad += __shfl_xor_sync(~0u, bad, o);
    most = fmaxf(most, __shfl_xor_sync(~0u, most, o));
  }
  if (threadIdx.x % 32 == 0) {
    atomicAdd(sums, error), atomicAdd(sums + 1, size), atomicAdd(sums + 2, bad);
    atomicMax(worst, __float_as_uint(most));
  }
}

// Attention in float64, one block a query row: q[b, s, h, d], k and v[b, t, hk, d], dense. PACKED sequences lie one after
// another and their first tokens are in query_starts and key_starts.
struct ReferenceAttention {
  int type, kv_type, batch, queries, keys, heads, kv_heads, dim, causal, window;
  float scale;
  int unused;
  const int *lengths, *query_starts, *key_starts;
  const void *bias;
  long long bias_batch, bias_head, bias_query;
  const float *k_scales, *v_scales; // of a kv head
};
extern "C" __global__ void reference_attention(double *out, const void *q, const void *k, const void *v, const __grid_constant__ ReferenceAttention s) {
  extern __shared__ double scores[];
  const int row = blockIdx.x, head = blockIdx.y, b = blockIdx.z, kv = head / (s.heads / s.kv_heads);
  const int queries = s.query_starts ? s.query_starts[b + 1] - s.query_starts[b] : s.queries;
  int keys = s.key_starts ? s.key_starts[b + 1] - s.key_starts[b] : s.keys;
  if (row >= queries) return;
  if (s.lengths) keys = s.lengths[b];
  const int own = row + keys - queries, limit = s.causal ? min(keys, own + 1) : keys, from = s.window ? max(0, own - s.window + 1) : 0;
  __shared__ double most_all, sum_all;
  const long long q_at = (((s.query_starts ? s.query_starts[b] : (long long)b * s.queries) + row) * s.heads + head) * s.dim;
  const long long k_0 = s.key_starts ? s.key_starts[b] : (long long)b * s.keys;
  for (int t = from + threadIdx.x; t < limit; t += blockDim.x) {
    double sum = 0.0;
    const long long k_at = ((k_0 + t) * s.kv_heads + kv) * s.dim;
    for (int i = 0; i < s.dim; i++) sum += load_as_double(q, s.type, q_at + i) * load_as_double(k, s.kv_type, k_at + i);
    if (s.k_scales) sum *= s.k_scales[kv];
    scores[t] = sum * s.scale + (s.bias ? load_as_double(s.bias, s.type, b * s.bias_batch + head * s.bias_head + row * s.bias_query + t) : 0.0);
  }
  __syncthreads();
  if (threadIdx.x < 32) {
    double most = -1e300, sum = 0.0;
    for (int t = from + threadIdx.x; t < limit; t += 32) most = fmax(most, scores[t]);
    for (int o = 16; o; o >>= 1) most = fmax(most, __shfl_xor_sync(~0u, most, o));
    for (int t = from + threadIdx.x; t < limit; t += 32) sum += exp(scores[t] - most);
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o);
    if (threadIdx.x == 0) most_all = most, sum_all = sum;
  }
  __syncthreads();
  for (int t = from + threadIdx.x; t < limit; t += blockDim.x) scores[t] = exp(scores[t] - most_all) / sum_all;
  __syncthreads();
  for (int i = threadIdx.x; i < s.dim; i += blockDim.x) {
    double sum = 0.0;
    for (int t = from; t < limit; t++) sum += scores[t] * load_as_double(v, s.kv_type, ((k_0 + t) * s.kv_heads + kv) * s.dim + i);
    out[q_at + i] = sum * (s.v_scales ? s.v_scales[kv] : 1.0);
  }
}

// The reads and writes of a copy, to measure the ceiling in the same run.
extern "C" __global__ void __launch_bounds__(512) copy(uint4 *to, const uint4 *from, long long count) {
  for (long long i = blockIdx.x * 2048ll + threadIdx.x; i < count; i += gridDim.x * 2048ll) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j * 512 < count) v[j] = from[i + j * 512];
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (i + j * 512 < count) to[i + j * 512] = v[j];
  }
}

// d += residual, the second kernel of a peer whose epilogue has no residual after its activation. f16, count of 8.
extern "C" __global__ void add_f16(uint4 *d, const uint4 *residual, long long count) {
  const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i >= count) return;
  uint4 a = d[i];
  const uint4 b = residual[i];
  u32 *x = (u32 *)&a;
  const u32 *y = (const u32 *)&b;
#pragma unroll
  for (int j = 0; j < 4; j++) {
    const float2 p = unpack2<f16>(x[j]), q = unpack2<f16>(y[j]);
    x[j] = pack2<f16>(p.x + q.x, p.y + q.y);
  }
  d[i] = a;
}

// Row operations in float64, a block a row: kind 0 layer norm, 1 RMS norm, 2 softmax of x (+ residual when given); 3 gelu(x + gamma).
extern "C" __global__ void reference_rows(double *out, const void *x, const void *residual, const void *gamma, const void *beta, int type, int columns,
                                          double epsilon, int kind) {
  const long long at = (long long)blockIdx.x * columns;
  __shared__ double a_all, b_all;
  auto value = [&](int c) { return load_as_double(x, type, at + c) + (residual ? load_as_double(residual, type, at + c) : 0.0); };
  if (threadIdx.x < 32) {
    double sum = 0.0, squares = 0.0, most = -1e300;
    for (int c = threadIdx.x; c < columns; c += 32) sum += value(c), squares += value(c) * value(c), most = fmax(most, value(c));
    for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(~0u, sum, o), squares += __shfl_xor_sync(~0u, squares, o), most = fmax(most, __shfl_xor_sync(~0u, most, o));
    double spread = 0.0;
    if (kind == 0)
      for (int c = threadIdx.x; c < columns; c += 32) spread += (value(c) - sum / columns) * (value(c) - sum / columns);
    if (kind == 2)
      for (int c = threadIdx.x; c < columns; c += 32) spread += exp(value(c) - most);
    for (int o = 16; o; o >>= 1) spread += __shfl_xor_sync(~0u, spread, o);
    if (threadIdx.x == 0) {
      a_all = kind == 0 ? sum / columns : kind == 2 ? most : 0.0;
      b_all = kind == 0 ? 1.0 / sqrt(spread / columns + epsilon) : kind == 1 ? 1.0 / sqrt(squares / columns + epsilon) : kind == 2 ? 1.0 / spread : 0.0;
    }
  }
  __syncthreads();
  for (int c = threadIdx.x; c < columns; c += blockDim.x) {
    double v = value(c);
    if (kind == 0) v = (v - a_all) * b_all * load_as_double(gamma, type, c) + load_as_double(beta, type, c);
    if (kind == 1) v = v * b_all * load_as_double(gamma, type, c);
    if (kind == 2) v = exp(v - a_all) * b_all;
    if (kind == 3) v += load_as_double(gamma, type, c), v = 0.5 * v * (1.0 + erf(v * 0.70710678118654752440));
    out[at + c] = v;
  }
}

// Convolution in float64, NHWC: out[n, p, q, k] from x[n, h, w, c] and weights [k, r, s, c / groups]; one thread an output.
// TRANSPOSED convolutions gather too: the tap (r, s) reaches (p + pad - r * dilation) / stride where that divides.
struct ReferenceConvolution {
  int images, h, w, c, k, r, s, p, q, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, transposed, type;
};
extern "C" __global__ void reference_convolution(double *out, const void *x, const void *weights, const __grid_constant__ ReferenceConvolution v) {
  const int group_c = v.c / v.groups, group_k = v.k / v.groups;
  const long long count = (long long)v.images * v.p * v.q * v.k;
  for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
    const int k = (int)(i % v.k), q = (int)(i / v.k % v.q), p = (int)(i / v.k / v.q % v.p), n = (int)(i / v.k / v.q / v.p);
    double sum = 0.0;
    for (int r = 0; r < v.r; r++)
      for (int s = 0; s < v.s; s++) {
        int h = p * v.stride_h - v.pad_h + r * v.dilation_h, w = q * v.stride_w - v.pad_w + s * v.dilation_w;
        if (v.transposed) {
          const int th = p + v.pad_h - r * v.dilation_h, tw = q + v.pad_w - s * v.dilation_w;
          if (th < 0 || tw < 0 || th % v.stride_h || tw % v.stride_w) continue;
          h = th / v.stride_h, w = tw / v.stride_w;
        }
        if (h < 0 || w < 0 || h >= v.h || w >= v.w) continue;
        const long long x_at = (((long long)n * v.h + h) * v.w + w) * v.c + (long long)(k / group_k) * group_c;
        const long long w_at = (((long long)k * v.r + r) * v.s + s) * group_c;
        for (int c = 0; c < group_c; c++) sum += load_as_double(x, v.type, x_at + c) * load_as_double(weights, v.type, w_at + c);
      }
    out[i] = sum;
  }
}
