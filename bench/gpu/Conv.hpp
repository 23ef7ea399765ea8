// Rows of ResNet-50's convolutions (v1.5: the stride is in the 3x3): ours, the best of the instances that can run each, checked
// against float64 on the problem that is timed; cuDNN is measured by peers.py in the same call.
#pragma once
#include "../../native/test-gpu/FewChannelCases.hpp"
#include "../../native/test-gpu/TiledCases.hpp"
#include "Timing.hpp"

#include <numeric>
#include <optional>

struct ConvRow {
  int h, w, c, k, filter, stride, residual; // residual: bias + residual + ReLU, otherwise bias + ReLU
};
inline std::vector<ConvRow> conv_rows() {
  return {
      {224, 224, 3, 64, 7, 2, 0},    {56, 56, 64, 64, 1, 1, 0},     {56, 56, 64, 64, 3, 1, 0},     {56, 56, 64, 256, 1, 1, 1},   {56, 56, 256, 64, 1, 1, 0},    {56, 56, 256, 128, 1, 1, 0},
      {56, 56, 128, 128, 3, 2, 0},   {28, 28, 128, 512, 1, 1, 1},   {56, 56, 256, 512, 1, 2, 0},   {28, 28, 512, 128, 1, 1, 0},  {28, 28, 128, 128, 3, 1, 0},   {28, 28, 512, 256, 1, 1, 0},
      {28, 28, 256, 256, 3, 2, 0},   {14, 14, 256, 1024, 1, 1, 1},  {28, 28, 512, 1024, 1, 2, 0},  {14, 14, 1024, 256, 1, 1, 0}, {14, 14, 256, 256, 3, 1, 0},   {14, 14, 1024, 512, 1, 1, 0},
      {14, 14, 512, 512, 3, 2, 0},   {7, 7, 512, 2048, 1, 1, 1},    {14, 14, 1024, 2048, 1, 2, 0}, {7, 7, 2048, 512, 1, 1, 0},   {7, 7, 512, 512, 3, 1, 0},
  };
}

class ConvBench {
 public:
  ConvBench(const Device &device, const std::vector<Instance> &instances, const Reference &reference, FILE *json, bool verbose)
      : device_(device), instances_(instances), reference_(reference), json_(json), verbose_(verbose) {}

  void run(const ConvRow &row, int images) const {
    ConvProblem base = conv_problem(images, row.h, row.w, row.c, row.k, row.filter, row.stride, row.filter / 2);
    const size_t x_bytes = align(base.x_count() * 2), w_bytes = align(base.weight_count() * 2), d_bytes = align(base.pixels() * base.k * 2);
    const double bytes = 2.0 * (base.x_count() + base.weight_count() + base.pixels() * base.k * (row.residual ? 2 : 1));
    const int sets = std::clamp((int)(160e6 / bytes) + 1, 2, 96);
    const Buffer x(x_bytes * sets), weights(w_bytes * sets), d(d_bytes * sets), residual(row.residual ? d_bytes * sets : 16), bias(base.k * 2);
    reference_.fill(x.data(), Type::f16, x_bytes / 2 * sets, 1);
    reference_.fill(weights.data(), Type::f16, w_bytes / 2 * sets, 2, 1.0f / std::sqrt((float)(base.weight_count() / base.k)));
    reference_.fill(bias.data(), Type::f16, base.k, 3);
    if (row.residual) reference_.fill(residual.data(), Type::f16, d_bytes / 2 * sets, 4);
    auto problem = [&](int set) {
      ConvProblem p = base;
      p.x = x.data() + x_bytes * set, p.weights = weights.data() + w_bytes * set, p.d = d.data() + d_bytes * set;
      p.inputs[0] = bias.data(), p.inputs[1] = row.residual ? residual.data() + d_bytes * set : 0;
      return p;
    };
    const double floor_us = std::max(base.operations() / 990e6, bytes / 3.0e6);
    const int count = std::clamp((int)(400 / (floor_us + 3)) + 1, 2, 100) / sets * sets + sets;
    std::vector<std::pair<double, std::vector<Launch>>> timed;
    std::vector<const Instance *> of;
    for (const Instance &i : instances_) {
      if (i.number("EPILOGUE_KIND", 0) != (row.residual ? 3 : 2) || i.text("INPUT", "") != "f16") continue;
      const auto launch = prepare(i, problem(0));
      if (!launch) continue;
      std::vector<Launch> launches;
      for (int s = 0; s < sets; s++) launches.push_back(*prepare(i, problem(s)));
      const double us = measure(launches, count, 3);
      if (verbose_) std::printf("    %-44s %9.2f us\n", i.name.c_str(), us);
      timed.emplace_back(us, std::move(launches)), of.push_back(&i);
    }
    if (timed.empty()) return (void)std::printf("conv %s: no instance\n", conv_name(base).c_str());
    // The four quickest again, longer and in turns.
    std::vector<size_t> order(timed.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return timed[a].first < timed[b].first; });
    order.resize(std::min<size_t>(order.size(), 4));
    std::vector<std::vector<double>> times(order.size());
    for (int round = 0; round < 9; round++)
      for (size_t f = 0; f < order.size(); f++) times[f].push_back(measure(timed[order[f]].second, count, 1));
    size_t best = 0;
    for (size_t f = 0; f < order.size(); f++) {
      std::sort(times[f].begin(), times[f].end());
      if (times[f][4] < times[best][4]) best = f;
    }
    const Instance &winner = *of[order[best]];
    const std::string verdict = check(problem(0), timed[order[best]].second[0], row.residual ? 3 : 2);
    const double us = times[best][4];
    std::printf("conv %-40s %9.2f us %7.1f TF/s %7.1f GB/s  %s  %s\n", conv_name(base).c_str(), us, base.operations() / us * 1e-6, bytes / us * 1e-3, winner.name.c_str(), verdict.c_str());
    std::fflush(stdout);
    std::fprintf(json_, "{\"section\":\"conv\",\"what\":\"%s\",\"images\":%d,\"residual\":%d,\"instance\":\"%s\",\"ours_us\":%.3f,\"operations\":%.0f,\"bytes\":%.0f,\"sets\":%d,\"verdict\":\"%s\"}\n", conv_name(base).c_str(),
                 images, row.residual, winner.name.c_str(), us, base.operations(), bytes, sets, verdict.c_str());
    std::fflush(json_);
  }

 private:
  static size_t align(size_t bytes) { return (bytes + 1023) / 1024 * 1024; }
  double measure(const std::vector<Launch> &launches, int count, int rounds) const {
    Repeated timed(device_, count, [&](int n, CUstream s) { launches[n % launches.size()](s); });
    return timed.median(rounds);
  }
  std::optional<Launch> prepare(const Instance &i, const ConvProblem &p) const {
    if (i.kernel == "ConvSm90" && conv_refusal(i, p).empty() && (p.r > 1 || p.stride > 1)) return prepare_conv(device_, i, p);
    if (i.kernel == "ConvSm75" && tiled_conv_refusal(i, p).empty()) return prepare_tiled_conv(i, p);
    if (i.kernel == "FewChannelsSm80" && few_channels_refusal(i, p).empty()) return prepare_few_channels(device_, i, p);
    if (i.kernel == "GemmSm90" && !i.number("GROUPED", 0) && p.r == 1 && p.s == 1 && p.stride == 1 && !i.number("A_ALONG_M", 0) && !i.number("B_ALONG_N", 0)) {
      GemmProblem g;
      g.m = (int)p.pixels(), g.n = p.k, g.k = p.c, g.a = p.x, g.b = p.weights, g.d = p.d;
      std::copy(std::begin(p.inputs), std::end(p.inputs), g.inputs);
      if (gemm_refusal(i, g).empty()) return prepare_gemm(device_, i, g);
    }
    return std::nullopt;
  }
  std::string check(const ConvProblem &p, const Launch &launch, int epilogue) const {
    const Buffer expected(p.pixels() * p.k * 8);
    CHECK_CUDA(cuMemsetD8Async(p.d, 0xFF, p.pixels() * p.k * 2, device_.stream));
    launch(device_.stream);
    reference_convolution(device_, instances_.front(), expected.data(), p, Type::f16);
    reference_.epilogue(expected.data(), epilogue, p.inputs[0], p.inputs[1], Type::f16, (int)p.pixels(), p.k, (int)p.pixels(), p.k, 0);
    return describe(reference_.compare(p.d, Type::f16, expected.data(), (int)p.pixels(), p.k, (int)p.pixels(), p.k, 0), relative_bound(Type::f16, Type::f16, false));
  }
  const Device &device_;
  const std::vector<Instance> &instances_;
  const Reference &reference_;
  FILE *json_;
  bool verbose_;
};
