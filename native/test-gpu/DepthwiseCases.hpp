// Launches and cases of DepthwiseSm75, and of grouped products by GemmSm90 (GROUPED=1).
#pragma once
#include "ConvCases.hpp"
#include "TokenCases.hpp"

struct DepthwiseShape {
  int images, h, w, c, p, q, pad_h, pad_w;
  CUdeviceptr x, weights, d;
  EpilogueInputs inputs;
};
inline std::string depthwise_refusal(const Instance &i, const ConvProblem &p) {
  if (p.transposed || p.groups != p.c || p.k != p.c || p.dilation != 1) return "one filter a channel only";
  if (p.r != i.number("FILTER", 3) || p.s != p.r || p.stride != i.number("STRIDE", 1)) return "made for another filter";
  return p.c % 8 ? "channels must be a multiple of 8" : "";
}
inline Launch prepare_depthwise(const Instance &i, const ConvProblem &p) {
  const int out_w = i.number("OUT_W", 4), threads = i.number("THREADS", 256);
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = threads;
  l.grid[0] = (unsigned)(((long long)p.images * p.p() * ((p.q() + out_w - 1) / out_w) * (p.c / 8) + threads - 1) / threads);
  DepthwiseShape s{p.images, p.h, p.w, p.c, p.p(), p.q(), p.pad, p.pad, p.x, p.weights, p.d, {}};
  std::copy(std::begin(p.inputs), std::end(p.inputs), s.inputs.pointer);
  l.add(s);
  return l;
}
inline Group depthwise_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            const int f = instance.number("FILTER", 3), stride = instance.number("STRIDE", 1);
            uint64_t seed = 2800;
            for (const auto &[images, h, w, c, pad] : {std::tuple{1, f, f, 8, 0}, {2, 14, 14, 96, f / 2}, {3, 9, 23, 40, f - 1}, {1, 112, 112, 32, f / 2}, {5, 7, 5, 960, f / 2}}) {
              seed++;
              const ConvProblem p = conv_problem(images, h, w, c, c, f, stride, pad, 1, c);
              const std::string name = instance.name + "/" + conv_name(p);
              begin_case(name);
              end_case(name, run_conv_case(device, instance, reference_instance, reference, p, seed, [&](const ConvProblem &ready) {
                         // Weights go from [channel, tap] to [tap, channel], in a buffer that lives as long as the process.
                         const std::vector<uint16_t> from = download<uint16_t>(ready.weights, (size_t)c * f * f);
                         std::vector<uint16_t> to(from.size());
                         for (int ch = 0; ch < c; ch++)
                           for (int tap = 0; tap < f * f; tap++) to[(size_t)tap * c + ch] = from[(size_t)ch * f * f + tap];
                         static std::vector<Buffer> kept;
                         kept.emplace_back(to.size() * 2);
                         upload(device, kept.back().data(), to.data(), to.size() * 2);
                         ConvProblem turned = ready;
                         turned.weights = kept.back().data();
                         return prepare_depthwise(instance, turned);
                       }));
            }
          }};
}

// Products whose rows lie one after another, one B each.
inline std::string run_grouped_case(const Device &device, const Instance &instance, const Reference &reference, const std::vector<int> &rows, int n, int k, uint64_t seed) {
  const GemmTile t(instance);
  const size_t in = type_bytes(t.input), out = type_bytes(t.output);
  std::vector<int> starts = {0};
  for (const int r : rows) starts.push_back(starts.back() + r);
  const int total = starts.back(), groups = (int)rows.size();
  const GuardedBuffer a(device, (size_t)total * k * in, 16), b(device, (size_t)groups * n * k * in, 16), d(device, (size_t)total * n * out, 16), at(device, starts.size() * 4, 16), expected(device, (size_t)total * n * 8);
  reference.fill(a.data(), t.input, (long long)total * k, seed * 31 + 1);
  reference.fill(b.data(), t.input, (long long)groups * n * k, seed * 31 + 2);
  upload(device, at.data(), starts.data(), starts.size() * 4);
  d.poison(0xFF);
  for (int g = 0; g < groups; g++)
    if (rows[g]) reference.product(expected.data() + (size_t)starts[g] * n * 8, a.data() + (size_t)starts[g] * k * in, b.data() + (size_t)g * n * k * in, t.input, t.input, rows[g], n, k, 1, {k, 1, 0}, {k, 1, 0});
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  GemmProblem p;
  p.m = total, p.n = n, p.k = k, p.a = a.data(), p.b = b.data(), p.d = d.data();
  prepare_grouped(device, instance, p, groups, at.data())(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"A", &a}, {"B", &b}, {"D", &d}, {"starts", &at}});
  if (!stray.empty()) return stray;
  return describe(reference.compare(p.d, t.output, expected.data(), total, n, total, n, 0), relative_bound(t.input, t.output, true));
}
inline Group grouped_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            uint64_t seed = 2900;
            int index = 0;
            for (const auto &[rows, n, k] : {std::tuple{std::vector<int>{1}, 8, 8}, {std::vector<int>{0, 5, 128, 300, 1, 0, 77, 0}, 200, 136}, {std::vector<int>{130, 127, 129}, 256, 512}, {std::vector<int>(64, 33), 136, 320}}) {
              const std::string name = instance.name + "/case" + std::to_string(index++) + "x" + std::to_string(n) + "x" + std::to_string(k);
              begin_case(name);
              end_case(name, run_grouped_case(device, instance, reference, rows, n, k, ++seed));
            }
          }};
}
