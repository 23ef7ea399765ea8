// Launches and cases of GemmSm75 and ConvSm75: tiles by mma.sync, any alignment where the instance gathers element by element.
#pragma once
#include "ConvCases.hpp"

struct ImageShape {
  int h, w, c, group_c, q, pixels, filter_h, filter_w, stride, pad_h, pad_w, dilation;
};
struct TiledShape {
  int m, n, k, batch, tiles_m, tiles_n, a_batched, b_batched;
  long long a_stride, b_stride, d_stride, a_batch, b_batch, d_batch;
  CUdeviceptr a, b, d;
  EpilogueInputs inputs;
  ImageShape image;
};

inline Launch launch_tiled(const Instance &i, TiledShape s, const CUdeviceptr (&inputs)[6]) {
  const int tile_m = i.number("TILE_M", 128), tile_n = i.number("TILE_N", 128);
  s.tiles_m = (s.m + tile_m - 1) / tile_m, s.tiles_n = (s.n + tile_n - 1) / tile_n;
  std::copy(std::begin(inputs), std::end(inputs), s.inputs.pointer);
  const bool narrow = type_bytes(type_named(i.text("OUTPUT", "f16"))) == 2;
  Launch l;
  l.dependent = true;
  l.shared_bytes = std::max(i.number("STAGES", 3) * (tile_m + tile_n) * i.number("K_BYTES", 64), narrow ? tile_m * (tile_n * 2 + 16) : 0);
  l.function = load_function(i, l.shared_bytes);
  l.block[0] = 32 * i.number("WARPS_M", 2) * i.number("WARPS_N", 4);
  l.grid[0] = s.tiles_m * s.tiles_n, l.grid[1] = s.batch;
  l.add(s);
  return l;
}
// An empty text where the instance can run the problem.
inline std::string tiled_refusal(const Instance &i, const GemmProblem &p) {
  const size_t in = type_bytes(type_named(i.text("INPUT", "f16")));
  if (i.number("ELEMENTWISE", 0)) return "";
  if ((p.lda ? p.lda : p.k) * in % 16 || (p.ldb ? p.ldb : p.k) * in % 16 || p.k * in % 16 || p.a % 16 || p.b % 16) return "rows of A and B must be on 16 bytes";
  return "";
}
inline Launch prepare_tiled(const Instance &i, const GemmProblem &p) {
  const long long lda = p.lda ? p.lda : p.k, ldb = p.ldb ? p.ldb : p.k, ldd = p.ldd ? p.ldd : p.n;
  return launch_tiled(i, {p.m, p.n, p.k, p.batch, 0, 0, p.batch > 1, p.batch > 1, lda, ldb, ldd, lda * p.m, ldb * p.n, ldd * p.m, p.a, p.b, p.d, {}, {}}, p.inputs);
}
inline std::string tiled_conv_refusal(const Instance &i, const ConvProblem &p) {
  if (p.transposed != i.number("TRANSPOSED", 0)) return "made for the other direction";
  const size_t in = type_bytes(type_named(i.text("INPUT", "f16")));
  if (!i.number("ELEMENTWISE", 0) && (p.c / p.groups * in % 16 || p.x % 16 || p.weights % 16)) return "channels of a group must be whole pieces of 16 bytes";
  return "";
}
inline Launch prepare_tiled_conv(const Instance &i, const ConvProblem &p) {
  const int group_c = p.c / p.groups, group_k = p.k / p.groups, k = p.r * p.s * group_c;
  return launch_tiled(i, {(int)p.pixels(), group_k, k, p.groups, 0, 0, 0, 0, 0, k, p.k, 0, (long long)group_k * k, group_k, p.x, p.weights, p.d, {},
                          {p.h, p.w, p.c, group_c, p.q(), p.p() * p.q(), p.r, p.s, p.stride, p.pad, p.pad, p.dilation}},
                      p.inputs);
}

inline Group tiled_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            const bool any = instance.number("ELEMENTWISE", 0) != 0;
            const int unit = any ? 1 : 16 / (int)type_bytes(type_named(instance.text("INPUT", "f16")));
            auto up = [&](int x) { return (x + unit - 1) / unit * unit; };
            const std::vector<GemmCase> cases = {
                {1, 1, unit, 1, 0}, {128, 128, up(64), 1, 0}, {129, 65, up(200), 1, 0}, {37, 1000, up(777), 1, 0}, {511, 257, up(1111), 1, 0}, {300, 200, up(320), 1, up(4095)}, {130, 137, up(101), 5, 0}, {1500, 1101, up(901), 1, 0},
            };
            for (size_t i = 0; i < cases.size(); i++) {
              const GemmCase &c = cases[i];
              const std::string name = instance.name + "/" + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) + (c.batch > 1 ? "x" + std::to_string(c.batch) : "") + (c.pad ? "+" + std::to_string(c.pad) : "");
              begin_case(name);
              end_case(name, run_gemm_case(device, instance, reference, c, 3000 + i, [&](const GemmProblem &p) {
                         const std::string refusal = tiled_refusal(instance, p);
                         if (!refusal.empty()) throw std::runtime_error("refused: " + refusal);
                         return prepare_tiled(instance, p);
                       }, any ? type_bytes(type_named(instance.text("OUTPUT", "f16"))) : 16));
            }
          }};
}
inline Group tiled_conv_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            std::vector<ConvProblem> cases = conv_cases();
            // What only this template takes: any channels, grouped narrowly, one channel a group, transposed.
            cases.push_back(conv_problem(2, 30, 17, 3, 24, 5, 2, 2));
            cases.push_back(conv_problem(1, 12, 12, 32, 64, 3, 1, 1, 1, 8));
            cases.push_back(conv_problem(2, 11, 13, 21, 21, 3, 2, 1, 1, 21));
            cases.push_back(conv_problem(1, 9, 14, 13, 35, 3, 1, 3, 3));
            cases.push_back(conv_problem(2, 14, 9, 32, 48, 4, 2, 1, 1, 1, 1));
            cases.push_back(conv_problem(1, 7, 7, 64, 16, 3, 3, 0, 1, 2, 1));
            cases.push_back(conv_problem(1, 10, 6, 5, 7, 2, 2, 0, 1, 1, 1));
            cases.push_back(conv_problem(1, 8, 8, 16, 24, 3, 1, 1, 2, 1, 1));
            uint64_t seed = 3500;
            for (const ConvProblem &p : cases) {
              seed++;
              if (!tiled_conv_refusal(instance, p).empty()) continue;
              const std::string name = instance.name + "/" + conv_name(p);
              begin_case(name);
              end_case(name, run_conv_case(device, instance, reference_instance, reference, p, seed, [&](const ConvProblem &ready) { return prepare_tiled_conv(instance, ready); }));
            }
          }};
}
