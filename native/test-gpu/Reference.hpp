// The float64 references of Reference.cu, and the verdict: ‖out − ref‖ / ‖ref‖ and the largest single error over the
// reference's root mean square, each against its bound.
#pragma once
#include "Element.hpp"
#include "Guard.hpp"
#include "Instance.hpp"

#include <cmath>
#include <cstring>

struct Verdict {
  double relative = 0, worst = 0; // ‖e‖/‖ref‖; max|e| / rms(ref)
  double not_finite = 0;
};

// Reference.cu's description of an attention, masks and packing included.
struct ReferenceAttention {
  int type = 0, kv_type = 0, batch = 1, queries = 0, keys = 0, heads = 1, kv_heads = 1, dim = 0, causal = 0, window = 0;
  float scale = 1.0f;
  int unused = 0;
  CUdeviceptr lengths = 0, query_starts = 0, key_starts = 0, bias = 0;
  long long bias_batch = 0, bias_head = 0, bias_query = 0;
  CUdeviceptr k_scales = 0, v_scales = 0;
};

class Reference {
 public:
  Reference(const Device &device, const Instance &instance) : device_(device), instance_(instance), sums_(4 * 8) {}

  void fill(CUdeviceptr p, Type type, long long count, uint64_t seed, float scale = 1.0f) const {
    Launch l = launch("fill", 2048, 256);
    l.add(p).add((int)type).add(count).add(seed).add(scale);
    l(device_.stream);
  }
  void product(CUdeviceptr out, CUdeviceptr a, CUdeviceptr b, Type type_a, Type type_b, int m, int n, int k, int batch, const long long (&as)[3],
               const long long (&bs)[3]) const {
    Launch l = launch("reference_product", (n + 15) / 16, 16);
    l.grid[1] = (m + 15) / 16, l.grid[2] = batch, l.block[1] = 16;
    l.add(out).add(a).add(b).add((int)type_a).add((int)type_b).add(m).add(n).add(k).add(as[0]).add(as[1]).add(as[2]).add(bs[0]).add(bs[1]).add(bs[2]);
    l(device_.stream);
  }
  void epilogue(CUdeviceptr out, int kind, CUdeviceptr bias, CUdeviceptr residual, Type type, int rows, int columns, int rows_of_batch, long long row_stride,
                long long batch_stride) const {
    Launch l = launch("reference_epilogue", 2048, 256);
    l.add(out).add(kind).add(bias).add(residual).add((int)type).add(rows).add(columns).add(rows_of_batch).add(row_stride).add(batch_stride);
    l(device_.stream);
  }
  void attention(CUdeviceptr out, CUdeviceptr q, CUdeviceptr k, CUdeviceptr v, const ReferenceAttention &shape) const {
    Launch l;
    l.function = load_function(instance_, "reference_attention", 200 * 1024);
    l.grid[0] = shape.queries, l.grid[1] = shape.heads, l.grid[2] = shape.batch, l.block[0] = 256, l.shared_bytes = (shape.keys + 8) * 8;
    l.add(out).add(q).add(k).add(v).add(shape);
    l(device_.stream);
  }
  void rows(CUdeviceptr out, CUdeviceptr x, CUdeviceptr residual, CUdeviceptr gamma, CUdeviceptr beta, Type type, int rows, int columns, double epsilon, int kind) const {
    Launch l = launch("reference_rows", (unsigned)rows, 256);
    l.add(out).add(x).add(residual).add(gamma).add(beta).add((int)type).add(columns).add(epsilon).add(kind);
    l(device_.stream);
  }
  Verdict compare(CUdeviceptr out, Type type, CUdeviceptr reference, int rows, int columns, int rows_of_batch, long long row_stride,
                  long long batch_stride) const {
    CHECK_CUDA(cuMemsetD8Async(sums_.data(), 0, 32, device_.stream));
    Launch l = launch("compare", 2048, 256);
    const CUdeviceptr worst = sums_.data() + 24;
    l.add(sums_.data()).add(worst).add(out).add((int)type).add(reference).add(rows).add(columns).add(rows_of_batch).add(row_stride).add(batch_stride);
    l(device_.stream);
    CHECK_CUDA(cuStreamSynchronize(device_.stream));
    double host[4];
    CHECK_CUDA(cuMemcpyDtoH_v2(host, sums_.data(), 32));
    float most;
    std::memcpy(&most, &host[3], 4);
    Verdict v;
    v.relative = host[1] > 0 ? std::sqrt(host[0] / host[1]) : std::sqrt(host[0]);
    const double rms = std::sqrt(host[1] / ((double)rows * columns));
    v.worst = rms > 0 ? most / rms : most;
    v.not_finite = host[2];
    return v;
  }
  void copy(CUdeviceptr to, CUdeviceptr from, long long bytes, CUstream stream) const {
    Launch l = launch("copy", 132 * 16, 512);
    l.add(to).add(from).add(bytes / 16);
    l(stream);
  }
  void add_f16(CUdeviceptr d, CUdeviceptr residual, long long count, CUstream stream) const {
    Launch l = launch("add_f16", (unsigned)((count / 8 + 255) / 256), 256);
    l.add(d).add(residual).add(count / 8);
    l(stream);
  }

 private:
  Launch launch(const char *entry, unsigned grid, unsigned block) const {
    Launch l;
    l.function = load_function(instance_, entry, 0);
    l.grid[0] = grid, l.block[0] = block;
    return l;
  }
  const Device &device_;
  const Instance &instance_;
  Buffer sums_;
};

// Bounds by the type that rounds the result: a few units of its last place, and the accumulator's own rounding.
inline double relative_bound(Type input, Type output, bool fast_fp8) {
  if (output == Type::s32) return 0.0;
  double bound = output == Type::bf16 ? 4e-3 : output == Type::f16 ? 5e-4 : 2e-6;
  if (input == Type::tf32) bound = std::max(bound, 1e-3);
  if (input == Type::f16 || input == Type::bf16) bound = std::max(bound, 2e-5);
  if ((input == Type::e4m3 || input == Type::e5m2) && fast_fp8) bound = std::max(bound, 5e-3);
  return bound;
}
