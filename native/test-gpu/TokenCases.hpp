// Cases of SkinnySm80 and SkinnySm90, and copies between host and device.
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

inline std::string run_skinny_case(const Device &device, const Instance &instance, const Reference &reference, int m, int n, int k, uint64_t seed, int most_clusters = 0, int most_slots = 0) {
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
  p.m = m, p.n = n, p.k = k, p.x = x.data(), p.w = w.data(), p.scales = scales.data(), p.d = d.data(), p.most_clusters = most_clusters, p.most_slots = most_slots;
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
            // One cluster that finishes its rows in several goes.
            if (const int m = instance.number("XROWS", 1); instance.number("CLUSTER", 1) > 1)
              for (const int slots : {1, 3}) {
                begin_case(instance.name + "/slots" + std::to_string(slots));
                end_case(instance.name + "/slots" + std::to_string(slots), run_skinny_case(device, instance, reference, m, 1000, 1152, 90, 1, slots));
              }
          }};
}
