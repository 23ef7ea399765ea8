// Cases of GemmSm90: for each instance the sizes around its tile (tiny, odd, one tile, ragged, several waves), dense and
// with long rows, batched, on random values; outputs poisoned, every buffer between guards.
#pragma once
#include "Gemm.hpp"
#include "Harness.hpp"
#include "Reference.hpp"

struct GemmCase {
  int m, n, k, batch;
  int pad; // extra elements at the end of each row of A, B and D
};

inline std::string describe(const Verdict &v, double bound) {
  char text[200];
  if (v.not_finite > 0) {
    std::snprintf(text, sizeof text, "%.0f elements were not written or not finite", v.not_finite);
    return text;
  }
  // Written so that a NaN fails.
  if (!(v.relative <= bound)) {
    std::snprintf(text, sizeof text, "relative error %.3g is over the bound %.3g (worst element %.3g of the root mean square)", v.relative, bound, v.worst);
    return text;
  }
  const double worst_bound = bound == 0 ? 0 : std::max(60 * bound, 1e-4);
  if (!(v.worst <= worst_bound)) {
    std::snprintf(text, sizeof text, "one element is off by %.3g of the root mean square (relative error %.3g)", v.worst, v.relative);
    return text;
  }
  return "pass";
}

inline std::string check_guards(const std::vector<std::pair<const char *, const GuardedBuffer *>> &buffers) {
  for (const auto &[name, buffer] : buffers) {
    long long first = 0;
    const size_t count = buffer->disturbed(&first);
    if (count) return std::string("stray write: ") + std::to_string(count) + " bytes of the red zone of " + name + " changed, the first " + std::to_string(first) + " bytes " + (first < 0 ? "before its start" : "past its end");
  }
  return "";
}

// `prepare` makes a template's launch of the problem, or throws; `alignment` is that of every buffer.
template <class Prepare>
std::string run_gemm_case(const Device &device, const Instance &instance, const Reference &reference, const GemmCase &c, uint64_t seed, const Prepare &prepare, size_t alignment = 16) {
  const GemmTile t(instance);
  const int epilogue = instance.number("EPILOGUE_KIND", 0);
  GemmProblem p;
  p.m = c.m, p.n = c.n, p.k = c.k, p.batch = c.batch;
  const GemmStrides dense = gemm_strides(t, p);
  p.lda = dense.lda + c.pad, p.ldb = dense.ldb + c.pad, p.ldd = dense.ldd + c.pad;
  const GemmStrides s = gemm_strides(t, p);
  const size_t in = type_bytes(t.input), out = type_bytes(t.output);
  // The last row's padding lies outside, so the buffer ends with its last element; TMA addresses need 16 bytes.
  const long long a_count = s.lda * (s.a_rows * c.batch - 1) + dense.lda, b_count = s.ldb * (s.b_rows * c.batch - 1) + dense.ldb;
  const long long d_count = s.ldd * ((long long)c.m * c.batch - 1) + c.n;
  const bool scale = epilogue == 4;
  const GuardedBuffer a(device, a_count * in, alignment), b(device, b_count * in, alignment), d(device, d_count * out, alignment);
  const GuardedBuffer bias(device, c.n * (scale ? 4 : 2), 16), residual(device, scale ? c.m * 4 : d_count * 2, 16);
  const GuardedBuffer expected(device, (long long)c.m * c.n * c.batch * 8);
  p.a = a.data(), p.b = b.data(), p.d = d.data();
  p.inputs[0] = bias.data(), p.inputs[1] = residual.data();
  reference.fill(p.a, t.input, a_count, seed * 3 + 1);
  reference.fill(p.b, t.input, b_count, seed * 3 + 2);
  const Type side = scale ? Type::f32 : Type::f16;
  reference.fill(bias.data(), side, c.n, seed * 3 + 3, scale ? 0.01f : 1.0f);
  reference.fill(residual.data(), side, scale ? c.m : d_count, seed * 3 + 4, scale ? 0.01f : 1.0f);
  d.poison(0xFF);
  reference.product(expected.data(), p.a, p.b, t.input, t.input, c.m, c.n, c.k, c.batch, {t.a_along_m ? 1 : s.lda, t.a_along_m ? s.lda : 1, s.lda * s.a_rows},
                    {t.b_along_n ? 1 : s.ldb, t.b_along_n ? s.ldb : 1, s.ldb * s.b_rows});
  if (epilogue) reference.epilogue(expected.data(), epilogue, bias.data(), residual.data(), Type::f16, c.m * c.batch, c.n, c.m, s.ldd, s.ldd * c.m);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  prepare(p)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"A", &a}, {"B", &b}, {"D", &d}, {"bias", &bias}, {"residual", &residual}});
  if (!stray.empty()) return stray;
  const Verdict v = reference.compare(p.d, t.output, expected.data(), c.m * c.batch, c.n, c.m, s.ldd, s.ldd * c.m);
  return describe(v, relative_bound(t.input, t.output, instance.number("PROMOTE", 0) == 0));
}

inline Group gemm_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            const GemmTile t(instance);
            const int unit = 16 / (int)type_bytes(t.input);
            const int out_unit = t.split_k > 1 && !t.b_along_n ? 1 : std::max(16 / (int)type_bytes(t.output), t.b_along_n ? unit : 1);
            const int m_unit = t.a_along_m ? unit : 1;
            auto up = [](int x, int to) { return (x + to - 1) / to * to; };
            const std::vector<GemmCase> cases = {
                {m_unit, out_unit, unit, 1, 0},
                {t.tile_m, up(t.tile_n, out_unit), 4 * 128 / (int)type_bytes(t.input), 1, 0},
                {up(t.tile_m + 1, m_unit), up(t.tile_n + 1, out_unit), up(200, unit), 1, 0},
                {up(37, m_unit), up(1000, out_unit), up(777, unit), 1, 0},
                {up(1023, m_unit), up(521, out_unit), up(1111, unit), 1, 0},
                {up(300, m_unit), up(200, out_unit), up(320, unit), 1, 4096},
                {up(130, m_unit), up(136, out_unit), up(100, unit), 5, 0},
                {up(2100, m_unit), up(3000, out_unit), up(1500, unit), 1, 0},
            };
            for (size_t i = 0; i < cases.size(); i++) {
              const GemmCase &c = cases[i];
              const std::string name = instance.name + "/" + std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
                                       (c.batch > 1 ? "x" + std::to_string(c.batch) : "") + (c.pad ? "+" + std::to_string(c.pad) : "");
              begin_case(name);
              end_case(name, run_gemm_case(device, instance, reference, c, 1000 + i, [&](const GemmProblem &p) {
                         const std::string refusal = gemm_refusal(instance, p);
                         if (!refusal.empty()) throw std::runtime_error("refused: " + refusal);
                         return prepare_gemm(device, instance, p);
                       }));
            }
          }};
}
