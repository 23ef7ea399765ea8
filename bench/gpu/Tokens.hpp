// Rows of paged decode, skinny products and row operations: the best of the fitting instances, checked first, against the bytes' floor at the
// measured copy bandwidth. Attention is measured by peers.py, in turns with its peers.
#pragma once
#include "../../native/test-gpu/RowCases.hpp"
#include "Timing.hpp"

class TokenBench {
 public:
  TokenBench(const Device &device, const std::vector<Instance> &instances, const Reference &reference, double copy_gb_s, FILE *json, bool verbose)
      : device_(device), instances_(instances), reference_(reference), copy_(copy_gb_s), json_(json), verbose_(verbose) {}

  void skinny(const char *weight, int m, int n, int k) {
    const bool s4 = std::string(weight) == "s4", s8 = std::string(weight) == "s8";
    const size_t w_bytes = s4 ? (size_t)n * k / 2 : (size_t)n * k * (s8 ? 1 : 2), s_bytes = s4 ? (size_t)n * (k / 128) * 2 : s8 ? (size_t)n * 2 : 0;
    const double bytes = (double)w_bytes + s_bytes + 2.0 * m * k + 2.0 * m * n;
    const int sets = (int)(250e6 / bytes) + 2;
    const Buffer x((size_t)m * k * 2), w(w_bytes * sets), scales(s_bytes * sets), d((size_t)m * n * 2);
    reference_.fill(x.data(), Type::f16, (long long)m * k, 1);
    reference_.fill(w.data(), s4 ? (Type)9 : s8 ? Type::s8 : Type::f16, s4 ? (long long)w_bytes * sets : (long long)n * k * sets, 2);
    if (s_bytes) reference_.fill(scales.data(), Type::f16, (long long)s_bytes / 2 * sets, 3, 0.1f);
    Best best;
    for (const Instance &i : instances_) {
      if (i.kernel.rfind("Skinny", 0) != 0 || i.text("WEIGHT", "") != weight || (i.kernel == "SkinnySm80" && i.number("HIGH_ROWS", 0) != (m > 8))) continue;
      SkinnyProblem shape;
      shape.m = m, shape.n = n, shape.k = k;
      if (!skinny_refusal(i, shape).empty()) continue;
      const std::string verdict = run_skinny_case(device_, i, reference_, m, 1000, k, 7);
      if (verdict != "pass") {
        std::printf("skinny %s: %s\n", i.name.c_str(), verdict.c_str());
        continue;
      }
      Repeated timed(device_, sets * 2, [&](int c, CUstream s) {
        SkinnyProblem p;
        p.m = m, p.n = n, p.k = k, p.x = x.data(), p.w = w.data() + w_bytes * (c % sets), p.scales = scales.data() + s_bytes * (c % sets), p.d = d.data();
        prepare_skinny(device_, i, p)(s);
      });
      best.take(i, timed.median(7), verbose_, bytes);
    }
    report("skinny", (std::string(weight) + " m" + std::to_string(m) + " " + std::to_string(n) + "x" + std::to_string(k)).c_str(), best, bytes);
  }

  void decode(int batch, int tokens, int heads, int kv_heads, int dim, const char *kv) {
    const int page = 64, of_sequence = (tokens + page - 1) / page;
    const Type kv_type = type_named(kv);
    const size_t element = type_bytes(kv_type);
    const double bytes = 2.0 * element * batch * tokens * kv_heads * dim;
    const int sets = std::max(1, (int)(250e6 / bytes) + 1);
    const long long pages = (long long)of_sequence * batch * sets, pool = pages * kv_heads * page * dim;
    const Buffer q((size_t)batch * heads * dim * 2), k(pool * element), v(pool * element), k_scales(kv_heads * 4), v_scales(kv_heads * 4), out((size_t)batch * heads * dim * 2), table(pages * 4), lengths(batch * 4),
        partial((size_t)batch * heads * 128 * (dim + 2) * 4);
    std::vector<int> order(pages), length(batch, tokens);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(3));
    upload(device_, table.data(), order.data(), pages * 4);
    upload(device_, lengths.data(), length.data(), batch * 4);
    CHECK_CUDA(cuMemsetD8Async(partial.data(), 0, partial.bytes(), device_.stream));
    reference_.fill(q.data(), Type::f16, (long long)batch * heads * dim, 1);
    reference_.fill(k.data(), kv_type, pool, 2);
    reference_.fill(v.data(), kv_type, pool, 3);
    reference_.fill(k_scales.data(), Type::f32, kv_heads, 4, 0.01f);
    reference_.fill(v_scales.data(), Type::f32, kv_heads, 5, 0.01f);
    Best best;
    int best_splits = 0;
    for (const Instance &i : instances_) {
      if (i.kernel != "PagedDecodeSm80" || i.number("PAGE", 0) != page || i.number("HEAD_DIM", 0) != dim || i.text("INPUT", "") != "f16" || i.text("KV", "") != kv) continue;
      for (const int splits : {1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 16, 24, 32, 48, 64}) {
        if (i.number("CLUSTER", 0) && splits > 16) continue;
        if (splits * batch * kv_heads > 8192 || splits * batch * kv_heads < 64) continue;
        Repeated timed(device_, std::max(2, sets * 2), [&](int c, CUstream s) {
          DecodeProblem p;
          p.batch = batch, p.heads = heads, p.kv_heads = kv_heads, p.dim = dim, p.pages_of_sequence = of_sequence, p.splits = splits, p.pool_pages = (int)pages, p.scale = 0.0884f;
          p.q = q.data(), p.k = k.data(), p.v = v.data(), p.table = table.data() + (size_t)of_sequence * batch * 4 * (c % sets), p.lengths = lengths.data(), p.out = out.data(),
          p.partial = partial.data(), p.k_scales = k_scales.data(), p.v_scales = v_scales.data();
          prepare_decode(i, p)(s);
        });
        if (verbose_) std::printf("    splits %d ", splits);
        if (best.take(i, timed.median(5), verbose_, bytes)) best_splits = splits;
      }
    }
    report("decode", (std::string(kv) + " b" + std::to_string(batch) + " t" + std::to_string(tokens) + " splits " + std::to_string(best_splits)).c_str(), best, bytes);
  }

  void rows(const char *kind, int rows, int columns) {
    const std::string prefix = std::string(kind) == "gelu" ? "pointwise-gelu-f16" : std::string("rows-") + kind + "-f16";
    const bool add = std::string(kind) == "addnorm";
    const size_t count = (size_t)rows * columns;
    const double bytes = count * 2.0 * (add ? 4 : 2) + columns * 4.0;
    const int sets = std::clamp((int)(300e6 / bytes) + 1, 2, 64);
    const Buffer x(count * 2 * sets), r(count * 2 * sets), out(count * 2 * sets), sum(count * 2 * sets), gamma(columns * 2), beta(columns * 2);
    reference_.fill(x.data(), Type::f16, (long long)count * sets, 1);
    reference_.fill(r.data(), Type::f16, (long long)count * sets, 2);
    reference_.fill(gamma.data(), Type::f16, columns, 3);
    reference_.fill(beta.data(), Type::f16, columns, 4);
    Best best;
    for (const Instance &i : instances_) {
      if (i.name.rfind(prefix, 0) != 0 || columns > most_columns(i)) continue;
      Repeated timed(device_, sets * (bytes < 1e7 ? 4 : 1), [&](int c, CUstream s) {
        const size_t at = count * 2 * (c % sets);
        prepare_rows(i, {rows, columns, x.data() + at, r.data() + at, gamma.data(), beta.data(), out.data() + at, sum.data() + at})(s);
      });
      best.take(i, timed.median(7), verbose_, bytes);
    }
    report("rows", (std::string(kind) + " " + std::to_string(rows) + "x" + std::to_string(columns)).c_str(), best, bytes);
  }

 private:
  struct Best {
    const Instance *instance = nullptr;
    double us = 1e30;
    bool take(const Instance &i, double time, bool verbose, double bytes) {
      if (verbose) std::printf("    %-40s %9.2f us %8.1f GB/s\n", i.name.c_str(), time, bytes / time * 1e-3);
      if (time >= us) return false;
      us = time, instance = &i;
      return true;
    }
  };
  void report(const char *section, const char *what, const Best &best, double bytes) {
    if (!best.instance) return (void)std::printf("%s %s: no instance\n", section, what);
    const double floor_us = bytes / copy_ * 1e-3;
    std::printf("%-12s %-32s %9.2f us  floor %8.2f us  %.3f of the floor  %s\n", section, what, best.us, floor_us, floor_us / best.us, best.instance->name.c_str());
    std::fprintf(json_, "{\"section\":\"%s\",\"what\":\"%s\",\"instance\":\"%s\",\"ours_us\":%.3f,\"floor_us\":%.3f,\"bytes\":%.0f}\n", section, what, best.instance->name.c_str(), best.us, floor_us, bytes);
    std::fflush(json_);
  }
  const Device &device_;
  const std::vector<Instance> &instances_;
  const Reference &reference_;
  double copy_;
  FILE *json_;
  bool verbose_;
};
