// Cases of SkinnySm80, AttentionSm90 and PagedDecodeSm80.
#pragma once
#include "Attention.hpp"
#include "GemmCases.hpp"

#include <numeric>
#include <random>

template <class T> std::vector<T> download(CUdeviceptr p, size_t count) {
  std::vector<T> host(count);
  CHECK_CUDA(cuMemcpyDtoH_v2(host.data(), p, count * sizeof(T)));
  return host;
}
// Returns when the bytes have arrived: a plain copy from pageable memory may not, and the stream would not wait for it.
inline void upload(const Device &device, CUdeviceptr to, const void *from, size_t bytes) {
  CHECK_CUDA(cuMemcpyHtoDAsync_v2(to, from, bytes, device.stream));
  CHECK_CUDA(cuStreamSynchronize(device.stream));
}
inline float bits_to_float(uint16_t bits, Type type) {
  if (type == Type::bf16) {
    const uint32_t wide = (uint32_t)bits << 16;
    float f;
    std::memcpy(&f, &wide, 4);
    return f;
  }
  _Float16 h;
  std::memcpy(&h, &bits, 2);
  return (float)h;
}

// W of s4 as floats [n, k], by the packing that SkinnySm80.cu states.
inline std::vector<float> unpack_s4(const std::vector<uint32_t> &packed, const std::vector<uint16_t> &scales, int n, int k) {
  std::vector<float> w((size_t)n * k);
  for (int row = 0; row < n; row++)
    for (int i = 0; i < k; i++) {
      const int in = i % 8, nibble = in % 2 ? 4 + in / 2 : in / 2;
      const int value = (int)(packed[((size_t)row * k + i) / 8] >> (4 * nibble) & 15) - 8;
      w[(size_t)row * k + i] = (float)value * bits_to_float(scales[(size_t)(i / 128) * n + row], Type::f16);
    }
  return w;
}

inline std::string run_skinny_case(const Device &device, const Instance &instance, const Reference &reference, int m, int n, int k, uint64_t seed) {
  const bool s4 = instance.text("WEIGHT", "") == "s4", s8 = instance.text("WEIGHT", "") == "s8", narrow = s4 || s8;
  const Type type = narrow ? Type::f16 : type_named(instance.text("WEIGHT", "f16"));
  const size_t w_bytes = s4 ? (size_t)n * k / 2 : (size_t)n * k * (s8 ? 1 : 2), scale_count = s4 ? (size_t)n * (k / 128) : n;
  const GuardedBuffer x(device, (size_t)m * k * 2, 16), w(device, w_bytes, 16), scales(device, scale_count * 2, 16);
  const GuardedBuffer d(device, (size_t)m * n * 2, 16), expected(device, (size_t)m * n * 8), wide(device, narrow ? (size_t)n * k * 4 : 16);
  reference.fill(x.data(), type, (long long)m * k, seed * 5 + 1);
  reference.fill(w.data(), s4 ? (Type)9 : s8 ? Type::s8 : type, s4 ? (long long)n * k / 2 : (long long)n * k, seed * 5 + 2);
  if (narrow) reference.fill(scales.data(), Type::f16, (long long)scale_count, seed * 5 + 3, s8 ? 0.01f : 0.1f);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  CUdeviceptr w_reference = w.data();
  if (s4) {
    const std::vector<float> host = unpack_s4(download<uint32_t>(w.data(), (size_t)n * k / 8), download<uint16_t>(scales.data(), (size_t)n * (k / 128)), n, k);
    upload(device, wide.data(), host.data(), host.size() * 4);
    w_reference = wide.data();
  }
  if (s8) {
    const std::vector<int8_t> values = download<int8_t>(w.data(), (size_t)n * k);
    const std::vector<uint16_t> scale = download<uint16_t>(scales.data(), n);
    std::vector<float> host((size_t)n * k);
    for (size_t i = 0; i < host.size(); i++) host[i] = (float)values[i] * bits_to_float(scale[i / k], Type::f16);
    upload(device, wide.data(), host.data(), host.size() * 4);
    w_reference = wide.data();
  }
  reference.product(expected.data(), x.data(), w_reference, type, narrow ? Type::f32 : type, m, n, k, 1, {k, 1, 0}, {k, 1, 0});
  d.poison(0xFF);
  SkinnyProblem p;
  p.m = m, p.n = n, p.k = k, p.x = x.data(), p.w = w.data(), p.scales = scales.data(), p.d = d.data();
  prepare_skinny(device, instance, p)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"X", &x}, {"W", &w}, {"scales", &scales}, {"D", &d}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(d.data(), type, expected.data(), m, n, m, n, 0), relative_bound(type, type, false));
}

inline Group skinny_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            const bool s4 = instance.text("WEIGHT", "") == "s4", high = instance.number("HIGH_ROWS", 0) != 0;
            int i = 0;
            for (const int m : {1, 4, high || instance.number("XROWS", 1) > 8 ? 9 : 7, high || instance.number("XROWS", 1) > 8 ? 16 : 8})
              for (const auto &[n, k] : {std::pair{1, 128}, {64, 1024}, {1001, s4 ? 640 : 776}, {514, 4096}, {4096, s4 ? 128 : 8}, {8, 128}, {1000, 1152}, {24, 11008}}) {
                SkinnyProblem shape;
                shape.m = m, shape.n = n, shape.k = k;
                if (!skinny_refusal(instance, shape).empty()) continue;
                const std::string name = instance.name + "/" + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
                begin_case(name);
                end_case(name, run_skinny_case(device, instance, reference, m, n, k, 40 + i++));
              }
          }};
}

inline std::string run_attention_case(const Device &device, const Instance &instance, const Reference &reference, const AttentionProblem &shape, uint64_t seed) {
  AttentionProblem p = shape;
  const Type type = type_named(instance.text("INPUT", "f16"));
  p.dim = instance.number("HEAD_DIM", 128);
  p.scale = 1.0f / std::sqrt((float)p.dim);
  const long long q_count = (long long)p.batch * p.queries * p.heads * p.dim, k_count = (long long)p.batch * p.keys * p.kv_heads * p.dim;
  const GuardedBuffer q(device, q_count * 2, 16), k(device, k_count * 2, 16), v(device, k_count * 2, 16), o(device, q_count * 2, 16), expected(device, q_count * 8);
  p.q = q.data(), p.k = k.data(), p.v = v.data(), p.o = o.data();
  reference.fill(p.q, type, q_count, seed * 7 + 1, 1.5f);
  reference.fill(p.k, type, k_count, seed * 7 + 2, 1.5f);
  reference.fill(p.v, type, k_count, seed * 7 + 3);
  CHECK_CUDA(cuMemsetD8Async(expected.data(), 0, q_count * 8, device.stream));
  reference.attention(expected.data(), p.q, p.k, p.v, type, p.batch, p.queries, p.keys, p.heads, p.kv_heads, p.dim, p.scale, instance.number("CAUSAL", 0) != 0, 0);
  o.poison(0xFF);
  prepare_attention(device, instance, p)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"Q", &q}, {"K", &k}, {"V", &v}, {"O", &o}});
  if (!stray.empty()) return stray;
  const int rows = (int)(q_count / p.dim);
  // P is rounded to the input type before its product with V, which adds to the output's own rounding.
  return describe(reference.compare(p.o, type, expected.data(), rows, p.dim, rows, p.dim, 0), type == Type::bf16 ? 6e-3 : 1e-3);
}

inline Group attention_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 30, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            struct Shape {
              int batch, queries, keys, heads, kv_heads;
            };
            int i = 0;
            for (const Shape &s : {Shape{1, 1, 1, 1, 1}, {1, 128, 128, 2, 2}, {2, 100, 100, 3, 1}, {1, 300, 300, 4, 2}, {1, 64, 777, 2, 2}, {3, 513, 1025, 4, 4}, {2, 1200, 1200, 9, 3}, {1, 200, 90, 2, 1}}) {
              AttentionProblem p;
              p.batch = s.batch, p.queries = s.queries, p.keys = s.keys, p.heads = s.heads, p.kv_heads = s.kv_heads;
              const std::string name = instance.name + "/b" + std::to_string(s.batch) + "q" + std::to_string(s.queries) + "k" + std::to_string(s.keys) + "h" + std::to_string(s.heads) + "g" + std::to_string(s.kv_heads);
              begin_case(name);
              end_case(name, run_attention_case(device, instance, reference, p, 70 + i++));
            }
          }};
}

inline std::string run_decode_case(const Device &device, const Instance &instance, const Reference &reference, int batch, int longest, int heads, int kv_heads, int splits, uint64_t seed) {
  const Type type = type_named(instance.text("INPUT", "f16"));
  const int page = instance.number("PAGE", 64), dim = instance.number("HEAD_DIM", 128);
  std::mt19937 random((unsigned)seed);
  std::vector<int> lengths(batch);
  for (int &l : lengths) l = 1 + (int)(random() % longest);
  lengths[0] = longest;
  const int of_sequence = (longest + page - 1) / page, pages = of_sequence * batch + 3;
  std::vector<int> order(pages), table((size_t)of_sequence * batch);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  std::copy_n(order.begin(), table.size(), table.begin());
  const long long pool = (long long)pages * kv_heads * page * dim, q_count = (long long)batch * heads * dim;
  const GuardedBuffer q(device, q_count * 2, 16), k(device, pool * 2, 16), v(device, pool * 2, 16), out(device, q_count * 2, 16), expected(device, q_count * 8);
  const GuardedBuffer at(device, table.size() * 4, 16), length(device, batch * 4, 16), partial(device, (long long)batch * heads * splits * (dim + 2) * 4, 16), arrived(device, (size_t)batch * kv_heads * 4, 16);
  reference.fill(q.data(), type, q_count, seed * 9 + 1, 1.5f);
  reference.fill(k.data(), type, pool, seed * 9 + 2, 1.5f);
  reference.fill(v.data(), type, pool, seed * 9 + 3);
  upload(device, at.data(), table.data(), table.size() * 4);
  upload(device, length.data(), lengths.data(), batch * 4);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  // The reference reads sequences laid out flat; what lies beyond a sequence's length becomes NaN in the pool.
  const size_t flat = (size_t)batch * longest * kv_heads * dim;
  const Buffer flat_k(flat * 2), flat_v(flat * 2);
  for (const auto &[from, to] : {std::pair{&k, &flat_k}, {&v, &flat_v}}) {
    std::vector<uint16_t> host = download<uint16_t>(from->data(), pool), line(flat);
    for (int b = 0; b < batch; b++)
      for (int t = 0; t < of_sequence * page; t++)
        for (int h = 0; h < kv_heads; h++) {
          const size_t source = (((size_t)table[b * of_sequence + t / page] * kv_heads + h) * page + t % page) * dim;
          if (t < longest) std::copy_n(host.begin() + source, dim, line.begin() + (((size_t)b * longest + t) * kv_heads + h) * dim);
          if (t >= lengths[b]) std::fill_n(host.begin() + source, dim, (uint16_t)0x7FFF);
        }
    upload(device, to->data(), line.data(), flat * 2);
    upload(device, from->data(), host.data(), pool * 2);
  }
  DecodeProblem p;
  p.batch = batch, p.heads = heads, p.kv_heads = kv_heads, p.dim = dim, p.pages_of_sequence = of_sequence, p.splits = splits, p.scale = 1.0f / std::sqrt((float)dim);
  p.q = q.data(), p.k = k.data(), p.v = v.data(), p.table = at.data(), p.lengths = length.data(), p.out = out.data(), p.partial = partial.data(), p.arrived = arrived.data();
  reference.attention(expected.data(), p.q, flat_k.data(), flat_v.data(), type, batch, 1, longest, heads, kv_heads, dim, p.scale, false, p.lengths);
  out.poison(0xFF), partial.poison(0xFF), arrived.poison(0);
  const Launch launch = prepare_decode(instance, p);
  launch(device.stream), launch(device.stream); // twice: the first must leave the counters at zero
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"Q", &q}, {"K", &k}, {"V", &v}, {"out", &out}, {"partial", &partial}, {"arrived", &arrived}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(p.out, type, expected.data(), batch * heads, dim, batch * heads, dim, 0), type == Type::bf16 ? 6e-3 : 1e-3);
}

inline Group decode_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 30, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            struct Shape {
              int batch, longest, heads, kv_heads, splits;
            };
            int i = 0;
            for (const Shape &s : {Shape{1, 1, 1, 1, 1}, {1, 64, 4, 1, 1}, {3, 333, 8, 2, 3}, {2, 1000, 32, 8, 16}, {5, 700, 8, 8, 2}, {1, 900, 16, 2, 64}, {2, 300, 4, 1, 7}, {1, 9000, 8, 1, 16}}) {
              if (instance.number("CLUSTER", 0) && s.splits > 16) continue;
              const std::string name = instance.name + "/b" + std::to_string(s.batch) + "t" + std::to_string(s.longest) + "h" + std::to_string(s.heads) + "g" + std::to_string(s.kv_heads) + "s" + std::to_string(s.splits);
              begin_case(name);
              end_case(name, run_decode_case(device, instance, reference, s.batch, s.longest, s.heads, s.kv_heads, s.splits, 90 + i++));
            }
          }};
}
