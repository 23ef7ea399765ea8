// The planted mistakes of Planted.cu: each must be found, by name and for the right reason, with this process alive after it.
#pragma once
#include "GemmCases.hpp"

inline std::string run_planted(const Device &device, const Instance &instance, const Reference &reference, int n) {
  const GuardedBuffer a(device, n * 4, 16), out(device, n * 4, 16), expected(device, n * 8);
  reference.fill(a.data(), Type::f32, n, 77);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  std::vector<float> in(n);
  std::vector<double> sums(n);
  CHECK_CUDA(cuMemcpyDtoH_v2(in.data(), a.data(), n * 4));
  for (int from = 0; from < n; from += 256) {
    double sum = 0;
    for (int i = from; i < std::min(n, from + 256); i++) sum += in[i];
    for (int i = from; i < std::min(n, from + 256); i++) sums[i] = in[i] + sum;
  }
  CHECK_CUDA(cuMemcpyHtoDAsync_v2(expected.data(), sums.data(), n * 8, device.stream));
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  out.poison(0xFF);
  Launch l;
  l.function = load_function(instance, 0);
  l.block[0] = 256, l.grid[0] = (n + 255) / 256;
  l.add(out.data()).add(a.data()).add(n);
  l(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"a", &a}, {"out", &out}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(out.data(), Type::f32, expected.data(), 1, n, 1, n, 0), 1e-5);
}

inline Group planted_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 8, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            begin_case(instance.name);
            end_case(instance.name, run_planted(device, instance, reference, 10000));
          }};
}

// What the verdict on each planted mistake must say.
inline const char *expected_verdict(int bug) {
  switch (bug) {
    case 1: return "stray write";
    case 2: return "relative error";
    case 3: return "not written";
    case 4: return "never ended";
    case 5: return "CUDA_ERROR_ILLEGAL_ADDRESS";
    default: return "pass";
  }
}
