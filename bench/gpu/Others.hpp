// Rows of what the table has no figure for: grouped products, transposed and depthwise convolutions, top-k and sampling,
// rotary embedding with page write, transposes, gathers, attention with heads of 64. Each against the larger of its bytes at the
// measured copy bandwidth and its operations at 772 TFLOP/s; results are those of the tests in the same call.
#pragma once
#include "../../native/test-gpu/DepthwiseCases.hpp"
#include "../../native/test-gpu/OperationCases.hpp"
#include "../../native/test-gpu/TiledCases.hpp"
#include "Timing.hpp"

class OtherBench {
 public:
  OtherBench(const Device &device, const std::vector<Instance> &instances, const Reference &reference, double copy_gb_s, FILE *json)
      : device_(device), instances_(instances), reference_(reference), copy_(copy_gb_s), json_(json) {}

  void run() const {
    each("GemmSm90", "grouped", [&](const Instance &i) {
      const int groups = 8, n = 4096, k = 2048;
      std::vector<int> starts = {0};
      for (const int rows : {1024, 100, 2048, 7, 900, 1500, 613, 2000}) starts.push_back(starts.back() + rows);
      const int m = starts.back();
      const Buffer a((size_t)m * k * 2), b((size_t)groups * n * k * 2), d((size_t)m * n * 2), at(starts.size() * 4);
      const Type type = type_named(i.text("INPUT", "f16"));
      reference_.fill(a.data(), type, (long long)m * k, 1), reference_.fill(b.data(), type, (long long)groups * n * k, 2);
      upload(device_, at.data(), starts.data(), starts.size() * 4);
      GemmProblem p;
      p.m = m, p.n = n, p.k = k, p.a = a.data(), p.b = b.data(), p.d = d.data();
      time(i, "8 experts, " + std::to_string(m) + " rows x 4096 x 2048", 2.0 * ((double)m * k + (double)groups * n * k + (double)m * n), 2.0 * m * n * k, {prepare_grouped(device_, i, p, groups, at.data())});
    });
    each("ConvSm75", "transposed", [&](const Instance &i) {
      ConvProblem p = conv_problem(8, 64, 64, 128, 64, 4, 2, 1, 1, 1, 1);
      const size_t x_count = (size_t)8 * 64 * 64 * 128, w_count = (size_t)64 * 16 * 128, d_count = (size_t)8 * p.p() * p.q() * 64;
      const Buffer x(x_count * 2), w(w_count * 2), d(d_count * 2), bias(64 * 2);
      reference_.fill(x.data(), Type::f16, x_count, 1), reference_.fill(w.data(), Type::f16, w_count, 2), reference_.fill(bias.data(), Type::f16, 64, 3);
      p.x = x.data(), p.weights = w.data(), p.d = d.data(), p.inputs[0] = bias.data();
      if (!tiled_conv_refusal(i, p).empty()) return;
      time(i, "8 x 64 x 64 x 128 to 64 filters 4 x 4, stride 2", 2.0 * (x_count + w_count + d_count), 2.0 * x_count * 64 * 16, {prepare_tiled_conv(i, p)});
    });
    each("DepthwiseSm75", "", [&](const Instance &i) {
      const int f = i.number("FILTER", 3), c = 128;
      ConvProblem p = conv_problem(32, 112, 112, c, c, f, i.number("STRIDE", 1), f / 2, 1, c);
      const size_t x_count = (size_t)32 * 112 * 112 * c, d_count = (size_t)32 * p.p() * p.q() * c;
      const Buffer x(x_count * 2), w((size_t)c * f * f * 2), d(d_count * 2), bias(c * 2);
      reference_.fill(x.data(), Type::f16, x_count, 1), reference_.fill(w.data(), Type::f16, (long long)c * f * f, 2), reference_.fill(bias.data(), Type::f16, c, 3);
      p.x = x.data(), p.weights = w.data(), p.d = d.data(), p.inputs[0] = bias.data();
      time(i, "32 x 112 x 112 x 128", 2.0 * (x_count + d_count), 0, {prepare_depthwise(i, p)});
    });
    each("TopKSm75", "", [&](const Instance &i) {
      const int rows = 256, columns = 128256, k = 50;
      const Type type = type_named(i.text("ELEMENT", "f16"));
      const size_t element = type_bytes(type);
      const Buffer x((size_t)rows * columns * element), values((size_t)rows * k * element), places(rows * k * 4), uniform(rows * 4), token(rows * 4);
      reference_.fill(x.data(), type, (long long)rows * columns, 1, 3.0f), reference_.fill(uniform.data(), Type::f32, rows, 2, 0.1f);
      time(i, "256 rows of 128256, the 50 largest", (double)rows * columns * element, 0, {prepare_top_k(i, {rows, columns, k, 0, columns, x.data(), values.data(), places.data(), 0.7f, 0.9f, uniform.data(), token.data()})});
    });
    each("RotarySm75", "", [&](const Instance &i) {
      const int tokens = 16384, heads = 32, kv = 8, dim = 128, page = 16, row = (heads + 2 * kv) * dim;
      const Type type = type_named(i.text("T", "f16"));
      const size_t element = type_bytes(type_named(i.text("KV", i.text("T", "f16")))), pool = (size_t)tokens * kv * dim;
      const Buffer qkv((size_t)tokens * row * 2), q((size_t)tokens * heads * dim * 2), k(pool * element), v(pool * element), cosine((size_t)tokens * dim / 2 * 4), sine((size_t)tokens * dim / 2 * 4), at(tokens * 4), slots(tokens * 4), scales(kv * 4);
      reference_.fill(qkv.data(), type, (long long)tokens * row, 1);
      reference_.fill(cosine.data(), Type::f32, (long long)tokens * dim / 2, 2), reference_.fill(sine.data(), Type::f32, (long long)tokens * dim / 2, 3), reference_.fill(scales.data(), Type::f32, kv, 4);
      std::vector<int> where(tokens);
      std::iota(where.begin(), where.end(), 0);
      upload(device_, at.data(), where.data(), tokens * 4);
      std::shuffle(where.begin(), where.end(), std::mt19937(3));
      upload(device_, slots.data(), where.data(), tokens * 4);
      const double bytes = 2.0 * tokens * row + 2.0 * tokens * heads * dim + 2.0 * pool * element + 4.0 * tokens * dim;
      time(i, "16384 tokens, 32 and 8 heads of 128", bytes, 0, {prepare_rotary(i, {tokens, heads, kv, dim, page, 0, row, (long long)kv * page * dim, (long long)page * dim, dim, qkv.data(), cosine.data(), sine.data(), at.data(), slots.data(), q.data(), k.data(), v.data(), scales.data(), scales.data()})});
    });
    each("TransposeSm75", "", [&](const Instance &i) {
      const int n = 8192;
      const size_t bytes = (size_t)n * n * i.number("BYTES", 2);
      const Buffer x(bytes), out(bytes);
      reference_.fill(x.data(), Type::f16, bytes / 2, 1);
      time(i, "8192 x 8192", 2.0 * bytes, 0, {prepare_transpose(i, {n, n, 0, 0, n, (long long)n * n, n, (long long)n * n, x.data(), out.data()}, 1)});
    });
    each("GatherRowsSm75", "", [&](const Instance &i) {
      const int rows = 65536, columns = 768, words = 30522, positions = 512;
      const bool wide = i.text("INDEX", "s64") == "s64";
      const Type type = type_named(i.text("T", "f16"));
      const Buffer table((size_t)words * columns * 2), position((size_t)positions * columns * 2), bias(columns * 2), out((size_t)rows * columns * 2), index(rows * 8), index_p(rows * 8), outside(4);
      reference_.fill(table.data(), type, (long long)words * columns, 1), reference_.fill(position.data(), type, (long long)positions * columns, 2), reference_.fill(bias.data(), type, columns, 3);
      std::mt19937 random(5);
      std::vector<long long> at(rows), at_p(rows);
      for (int r = 0; r < rows; r++) at[r] = random() % words, at_p[r] = r % positions;
      const std::vector<int> at_4(at.begin(), at.end()), at_p4(at_p.begin(), at_p.end());
      upload(device_, index.data(), wide ? (const void *)at.data() : at_4.data(), rows * (wide ? 8 : 4)), upload(device_, index_p.data(), wide ? (const void *)at_p.data() : at_p4.data(), rows * (wide ? 8 : 4));
      // A floor that counts each row of the table as read from memory; the L2 holds most of it.
      time(i, "65536 rows of 768 from 30522, and 512", 4.0 * rows * columns, 0, {prepare_gather(i, {rows, columns, {table.data(), position.data(), bias.data(), 0}, {index.data(), index_p.data(), 0, 0}, {words, positions, 0, 0}, out.data(), outside.data()})});
    });
    each("AttentionSm90", "", [&](const Instance &i) {
      if (i.number("LENGTHS", 0) || i.number("BIAS", 0) || i.number("WINDOW", 0) || i.number("PACKED", 0)) return;
      const int dim = i.number("HEAD_DIM", 128), tokens = 4096, heads = 2048 / dim;
      if (dim == 128) return; // in the table
      const size_t count = (size_t)2 * tokens * heads * dim;
      const Buffer q(count * 2), k(count * 2), v(count * 2), o(count * 2);
      const Type type = type_named(i.text("INPUT", "f16"));
      reference_.fill(q.data(), type, count, 1), reference_.fill(k.data(), type, count, 2), reference_.fill(v.data(), type, count, 3);
      AttentionProblem p;
      p.batch = 2, p.queries = p.keys = tokens, p.heads = p.kv_heads = heads, p.dim = dim, p.scale = 1.0f / std::sqrt((float)dim);
      p.q = q.data(), p.k = k.data(), p.v = v.data(), p.o = o.data();
      time(i, "2 x 4096 tokens, " + std::to_string(heads) + " heads", 8.0 * count, 4.0 * 2 * heads * tokens * (double)tokens * dim / (i.number("CAUSAL", 0) ? 2 : 1), {prepare_attention(device_, i, p)});
    });
  }

 private:
  template <class F> void each(const std::string &kernel, const std::string &part, const F &body) const {
    for (const Instance &i : instances_)
      if (i.kernel == kernel && i.name.find(part) != std::string::npos) try {
          body(i);
        } catch (const std::exception &error) {
          std::printf("others %s: %s\n", i.name.c_str(), error.what());
        }
  }
  void time(const Instance &i, const std::string &what, double bytes, double operations, const std::vector<Launch> &launches) const {
    Repeated timed(device_, 8, [&](int n, CUstream s) { launches[n % launches.size()](s); });
    const double us = timed.median(9), floor_us = std::max(bytes / copy_ * 1e-3, operations / 772e6);
    std::printf("%-12s %-52s %9.2f us  floor %8.2f us  %.3f of the floor  %s\n", "others", what.c_str(), us, floor_us, floor_us / us, i.name.c_str());
    std::fprintf(json_, "{\"section\":\"others\",\"what\":\"%s\",\"instance\":\"%s\",\"ours_us\":%.3f,\"floor_us\":%.3f,\"bytes\":%.0f,\"operations\":%.0f}\n", what.c_str(), i.name.c_str(), us, floor_us, bytes, operations);
    std::fflush(json_);
  }
  const Device &device_;
  const std::vector<Instance> &instances_;
  const Reference &reference_;
  double copy_;
  FILE *json_;
};
