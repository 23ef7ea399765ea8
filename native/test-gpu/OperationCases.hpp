// Cases of TopKSm75, RotarySm75, TransposeSm75 and GatherRowsSm75 against plain loops on the host; what only moves data must
// agree bit by bit.
#pragma once
#include "TokenCases.hpp"

template <class T> void upload(const Device &device, const GuardedBuffer &to, const std::vector<T> &from) {
  if (!from.empty()) upload(device, to.data(), from.data(), from.size() * sizeof(T));
}
inline std::vector<float> download_floats(CUdeviceptr p, Type type, size_t count) {
  std::vector<float> out(count);
  if (type == Type::f32) return download<float>(p, count);
  const std::vector<uint16_t> bits = download<uint16_t>(p, count);
  for (size_t i = 0; i < count; i++) out[i] = bits_to_float(bits[i], type);
  return out;
}

struct TopKShape {
  int rows, columns, k, unused;
  long long stride;
  CUdeviceptr x, values, places;
  float temperature, top_p;
  CUdeviceptr uniform, token;
};
inline Launch prepare_top_k(const Instance &i, const TopKShape &s) {
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = i.number("THREADS", 1024), l.grid[0] = s.rows;
  l.add(s);
  return l;
}
inline std::string run_top_k_case(const Device &device, const Instance &instance, const Reference &reference, int rows, int columns, int k, int distinct, uint64_t seed) {
  const Type type = type_named(instance.text("ELEMENT", "f16"));
  const size_t element = type_bytes(type), count = (size_t)rows * columns;
  const bool sample = instance.number("SAMPLE", 0) != 0;
  const GuardedBuffer x(device, count * element, 16), values(device, (size_t)rows * k * element, 16), places(device, (size_t)rows * k * 4, 16), uniform(device, rows * 4, 16), token(device, rows * 4, 16);
  reference.fill(x.data(), type, count, seed * 17 + 1, 3.0f);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  std::mt19937 random((unsigned)seed);
  if (distinct) {
    // Few values, so that ties decide: every element repeats one of the first few.
    std::vector<uint8_t> host = download<uint8_t>(x.data(), count * element);
    for (size_t i = 0; i < count; i++) std::copy_n(host.begin() + (random() % std::min<size_t>(distinct, columns)) * element, element, host.begin() + i * element);
    upload(device, x, host);
  }
  std::vector<float> draws(rows);
  for (float &d : draws) d = (float)(random() % 100000) / 100000;
  upload(device, uniform, draws);
  values.poison(0xFF), places.poison(0xFF), token.poison(0xFF);
  const float temperature = 0.7f, top_p = 0.9f;
  prepare_top_k(instance, {rows, columns, k, 0, columns, x.data(), values.data(), places.data(), temperature, top_p, uniform.data(), token.data()})(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"x", &x}, {"values", &values}, {"places", &places}, {"token", &token}});
  if (!stray.empty()) return stray;
  const std::vector<float> in = download_floats(x.data(), type, count), out = download_floats(values.data(), type, (size_t)rows * k);
  const std::vector<int> at = download<int>(places.data(), (size_t)rows * k), tokens = download<int>(token.data(), rows);
  for (int r = 0; r < rows; r++) {
    std::vector<int> order(columns);
    std::iota(order.begin(), order.end(), 0);
    const float *row = in.data() + (size_t)r * columns;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return row[a] > row[b]; });
    for (int i = 0; i < k; i++)
      if (at[(size_t)r * k + i] != order[i] || out[(size_t)r * k + i] != row[order[i]])
        return "row " + std::to_string(r) + ": place " + std::to_string(i) + " is " + std::to_string(at[(size_t)r * k + i]) + ", not " + std::to_string(order[i]);
    if (!sample) continue;
    double all = 0, cut = 0;
    std::vector<double> weight(k);
    for (int i = 0; i < k; i++) all += weight[i] = std::exp((row[order[i]] - row[order[0]]) / temperature);
    int last = 0;
    for (; last < k - 1; last++)
      if ((cut += weight[last]) >= top_p * all) break;
    double kept = 0;
    for (int i = 0; i <= last; i++) kept += weight[i];
    // Rounding may move a draw that lies on an edge, so the token's interval must hold the draw within 1e-4.
    double before = 0;
    int chosen = -1;
    for (int i = 0; i < k; before += weight[i], i++)
      if (tokens[r] == order[i]) {
        chosen = i;
        break;
      }
    if (chosen < 0) return "row " + std::to_string(r) + ": token " + std::to_string(tokens[r]) + " is not among the largest";
    const double want = draws[r] * kept, slack = 2e-3 * kept;
    if (chosen > last + 1 || want < before - slack || want > before + weight[chosen] + slack) return "row " + std::to_string(r) + ": the draw does not lie in token " + std::to_string(tokens[r]) + "'s part";
  }
  return "pass";
}

struct RotaryShape {
  int tokens, heads, kv_heads, dim, page, unused;
  long long qkv_stride, page_stride, head_stride, token_stride;
  CUdeviceptr qkv, cosine, sine, positions, slots, q_out, k_pool, v_pool, k_scales, v_scales;
};
inline Launch prepare_rotary(const Instance &i, const RotaryShape &s) {
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = i.number("THREADS", 256);
  const long long count = (long long)s.tokens * (s.heads + 2 * s.kv_heads) * (s.dim / (i.number("INTERLEAVED", 0) ? 8 : 16));
  l.grid[0] = (unsigned)((count + l.block[0] - 1) / l.block[0]);
  l.add(s);
  return l;
}
// One byte as a value, e4m3 or s8.
inline float byte_to_float(uint8_t bits, Type type) {
  if (type == Type::s8) return (float)(int8_t)bits;
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const float size = exponent ? std::ldexp(1.0f + mantissa / 8.0f, exponent - 7) : std::ldexp(mantissa / 8.0f, -6);
  return bits & 128 ? -size : size;
}
inline std::string run_rotary_case(const Device &device, const Instance &instance, const Reference &reference, int tokens, int heads, int kv_heads, int dim, uint64_t seed) {
  const Type type = type_named(instance.text("T", "f16")), kv_type = type_named(instance.text("KV", instance.text("T", "f16")));
  const bool interleaved = instance.number("INTERLEAVED", 0) != 0, narrow = type_bytes(kv_type) == 1;
  const int page = 16, pages = (tokens + page - 1) / page + 2, positions = 50, half = dim / 2, row = (heads + 2 * kv_heads) * dim;
  const size_t element = type_bytes(kv_type), pool = (size_t)pages * kv_heads * page * dim;
  const GuardedBuffer qkv(device, (size_t)tokens * row * 2, 16), q_out(device, (size_t)tokens * heads * dim * 2, 16), k(device, pool * element, 16), v(device, pool * element, 16), cosine(device, positions * half * 4, 16),
      sine(device, positions * half * 4, 16), at(device, tokens * 4, 16), slots(device, tokens * 4, 16), k_scales(device, kv_heads * 4, 16), v_scales(device, kv_heads * 4, 16);
  reference.fill(qkv.data(), type, (long long)tokens * row, seed * 19 + 1);
  std::mt19937 random((unsigned)seed);
  std::vector<float> c(positions * half), n(positions * half), k_scale(kv_heads), v_scale(kv_heads);
  for (size_t i = 0; i < c.size(); i++) {
    const double angle = (i / half) * std::pow(10000.0, -2.0 * (i % half) / dim);
    c[i] = (float)std::cos(angle), n[i] = (float)std::sin(angle);
  }
  for (float &x : k_scale) x = 0.02f + (float)(random() % 100) / 5000;
  for (float &x : v_scale) x = 0.02f + (float)(random() % 100) / 5000;
  std::vector<int> where(tokens), slot(pages * page);
  std::iota(slot.begin(), slot.end(), 0);
  std::shuffle(slot.begin(), slot.end(), random);
  slot.resize(tokens);
  for (int t = 0; t < tokens; t++) where[t] = (int)(random() % positions);
  if (tokens > 2) slot[1] = -1; // a token that is not kept
  upload(device, cosine, c), upload(device, sine, n), upload(device, at, where), upload(device, slots, slot), upload(device, k_scales, k_scale), upload(device, v_scales, v_scale);
  q_out.poison(0xFF), k.poison(0x11), v.poison(0x11);
  prepare_rotary(instance, {tokens, heads, kv_heads, dim, page, 0, row, (long long)kv_heads * page * dim, (long long)page * dim, dim, qkv.data(), cosine.data(), sine.data(), at.data(), slots.data(), q_out.data(), k.data(), v.data(),
                            k_scales.data(), v_scales.data()})(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"qkv", &qkv}, {"q", &q_out}, {"K", &k}, {"V", &v}});
  if (!stray.empty()) return stray;
  const std::vector<float> in = download_floats(qkv.data(), type, (size_t)tokens * row), q = download_floats(q_out.data(), type, (size_t)tokens * heads * dim);
  const std::vector<uint8_t> k_bytes = download<uint8_t>(k.data(), pool * element), v_bytes = download<uint8_t>(v.data(), pool * element);
  auto stored = [&](const std::vector<uint8_t> &bytes, size_t i) {
    if (narrow) return byte_to_float(bytes[i], kv_type);
    uint16_t bits;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    return bits_to_float(bits, kv_type);
  };
  std::vector<uint8_t> written(pool, 0);
  // Half a unit in the last place of the output's type, and float's own rounding.
  const double unit = type == Type::bf16 ? 1.0 / 256 : 1.0 / 2048;
  for (int t = 0; t < tokens; t++)
    for (int h = 0; h < heads + 2 * kv_heads; h++)
      for (int d = 0; d < dim; d++) {
        const float *head = in.data() + (size_t)t * row + h * dim;
        double want = head[d];
        if (h < heads + kv_heads) {
          const int pair = interleaved ? d / 2 : d % half, other = interleaved ? d ^ 1 : (d + half) % dim;
          const bool second = interleaved ? d % 2 : d >= half;
          want = head[d] * (double)c[where[t] * half + pair] + (second ? 1 : -1) * head[other] * (double)n[where[t] * half + pair];
        }
        double got, bound = unit * std::abs(want) + 1e-5;
        if (h < heads) {
          got = q[((size_t)t * heads + h) * dim + d];
        } else {
          if (slot[t] < 0) continue;
          const bool key = h < heads + kv_heads;
          const int kv = h - heads - (key ? 0 : kv_heads);
          const size_t i = (((size_t)(slot[t] / page) * kv_heads + kv) * page + slot[t] % page) * dim + d;
          written[i] = 1;
          got = stored(key ? k_bytes : v_bytes, i);
          if (narrow) {
            const float scale = (key ? k_scale : v_scale)[kv];
            got *= scale;
            bound = kv_type == Type::s8 ? 0.501 * scale + 1e-5 : std::abs(want) / 15 + 0.002 * scale;
            if (kv_type == Type::s8 && std::abs(want / scale) > 126.5) continue; // saturates
          }
        }
        if (!(std::abs(got - want) <= bound)) return "token " + std::to_string(t) + " head " + std::to_string(h) + " element " + std::to_string(d) + ": " + std::to_string(got) + ", not " + std::to_string(want);
      }
  for (size_t i = 0; i < pool; i++)
    if (!written[i])
      for (size_t b = 0; b < element; b++)
        if (k_bytes[i * element + b] != 0x11 || v_bytes[i * element + b] != 0x11) return "a slot that no token has was written";
  return "pass";
}

struct TransposeShape {
  int rows, columns, tiles_r, tiles_c;
  long long x_row, x_batch, out_row, out_batch;
  CUdeviceptr x, out;
};
inline Launch prepare_transpose(const Instance &i, TransposeShape s, int batch) {
  s.tiles_r = (s.rows + 63) / 64, s.tiles_c = (s.columns + 63) / 64;
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = 256, l.grid[0] = s.tiles_r * s.tiles_c, l.grid[1] = batch;
  l.add(s);
  return l;
}
inline std::string run_transpose_case(const Device &device, const Instance &instance, const Reference &reference, int batch, int rows, int columns, int pad, uint64_t seed) {
  const size_t element = instance.number("BYTES", 2), x_row = columns + pad, out_row = rows + pad;
  const size_t x_count = x_row * ((size_t)rows * batch - 1) + columns, out_count = out_row * ((size_t)columns * batch - 1) + rows;
  const GuardedBuffer x(device, x_count * element, element), out(device, out_count * element, element);
  reference.fill(x.data(), (Type)9, x_count * element, seed * 23 + 1);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  out.poison(0xEE);
  prepare_transpose(instance, {rows, columns, 0, 0, (long long)x_row, (long long)(x_row * rows), (long long)out_row, (long long)(out_row * columns), x.data(), out.data()}, batch)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"x", &x}, {"out", &out}});
  if (!stray.empty()) return stray;
  const std::vector<uint8_t> in = download<uint8_t>(x.data(), x_count * element), got = download<uint8_t>(out.data(), out_count * element);
  std::vector<uint8_t> want(out_count * element, 0xEE);
  for (int b = 0; b < batch; b++)
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < columns; c++) std::copy_n(in.begin() + ((b * (size_t)rows + r) * x_row + c) * element, element, want.begin() + ((b * (size_t)columns + c) * out_row + r) * element);
  for (size_t i = 0; i < want.size(); i++)
    if (want[i] != got[i]) return "byte " + std::to_string(i) + " differs";
  return "pass";
}

struct GatherShape {
  int rows, columns;
  CUdeviceptr input[4], index[4];
  long long table_rows[4];
  CUdeviceptr out, outside;
};
inline Launch prepare_gather(const Instance &i, const GatherShape &s) {
  Launch l;
  l.dependent = true;
  l.function = load_function(i, 0);
  l.block[0] = 256, l.grid[0] = (s.rows + 7) / 8;
  l.add(s);
  return l;
}
// The instance adds rows of two tables and a bias: word[index] + position[index] + bias.
inline std::string run_gather_case(const Device &device, const Instance &instance, const Reference &reference, int rows, int columns, int words, bool stray_index, uint64_t seed) {
  const Type type = type_named(instance.text("T", "f16"));
  const bool wide = instance.text("INDEX", "s64") == "s64";
  const int positions = 7;
  const GuardedBuffer table(device, (size_t)words * columns * 2, 16), position(device, (size_t)positions * columns * 2, 16), bias(device, columns * 2, 16), out(device, (size_t)rows * columns * 2, 16),
      index(device, rows * (wide ? 8 : 4), 16), index_p(device, rows * (wide ? 8 : 4), 16), outside(device, 4, 16);
  reference.fill(table.data(), type, (long long)words * columns, seed * 29 + 1);
  reference.fill(position.data(), type, (long long)positions * columns, seed * 29 + 2);
  reference.fill(bias.data(), type, columns, seed * 29 + 3);
  std::mt19937 random((unsigned)seed);
  std::vector<long long> at(rows), at_p(rows);
  for (int r = 0; r < rows; r++) at[r] = (long long)(random() % (2 * words)) - words, at_p[r] = r % positions;
  if (stray_index) at[rows / 2] = words;
  auto send = [&](const GuardedBuffer &to, const std::vector<long long> &from) {
    if (wide) upload(device, to, from);
    else upload(device, to, std::vector<int>(from.begin(), from.end()));
  };
  send(index, at), send(index_p, at_p);
  out.poison(0xFF), outside.poison(0);
  prepare_gather(instance, {rows, columns, {table.data(), position.data(), bias.data(), 0}, {index.data(), index_p.data(), 0, 0}, {words, positions, 0, 0}, out.data(), outside.data()})(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"table", &table}, {"out", &out}, {"outside", &outside}});
  if (!stray.empty()) return stray;
  if (download<int>(outside.data(), 1)[0] != (stray_index ? 1 : 0)) return "an index outside was not reported, or one was that is inside";
  const std::vector<float> w = download_floats(table.data(), type, (size_t)words * columns), p = download_floats(position.data(), type, (size_t)positions * columns), b = download_floats(bias.data(), type, columns),
                           got = download_floats(out.data(), type, (size_t)rows * columns);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++) {
      const long long i = at[r] < 0 ? at[r] + words : at[r];
      const double want = i >= words ? 0.0 : (double)w[i * columns + c] + p[at_p[r] * columns + c] + b[c];
      if (!(std::abs(got[(size_t)r * columns + c] - want) <= (type == Type::bf16 ? 1.0 / 256 : 1.0 / 2048) * std::abs(want) + 1e-6)) return "row " + std::to_string(r) + " column " + std::to_string(c) + " is wrong";
    }
  return "pass";
}

inline Group operation_group(const Instance &instance, const Instance &reference_instance) {
  return {instance.name, 20, [&instance, &reference_instance] {
            const Device device = open_device();
            const Reference reference(device, reference_instance);
            uint64_t seed = 4000;
            auto run = [&](const std::string &what, const auto &body) {
              const std::string name = instance.name + "/" + what;
              begin_case(name);
              end_case(name, body(++seed));
            };
            if (instance.kernel == "TopKSm75")
              for (const auto &[rows, columns, k, distinct] : {std::tuple{1, 1, 1, 0}, {3, 50, 50, 0}, {2, 1000, 8, 0}, {2, 5000, 64, 3}, {1, 128256, 50, 0}, {4, 32000, 256, 200}, {2, 1025, 1, 1}})
                run(std::to_string(rows) + "x" + std::to_string(columns) + "k" + std::to_string(k) + (distinct ? "ties" : ""), [&](uint64_t s) { return run_top_k_case(device, instance, reference, rows, columns, k, distinct, s); });
            if (instance.kernel == "RotarySm75")
              for (const auto &[tokens, heads, kv, dim] : {std::tuple{1, 1, 1, 16}, {5, 4, 2, 64}, {33, 32, 8, 128}, {7, 3, 3, 96}})
                run(std::to_string(tokens) + "h" + std::to_string(heads) + "g" + std::to_string(kv) + "d" + std::to_string(dim), [&](uint64_t s) { return run_rotary_case(device, instance, reference, tokens, heads, kv, dim, s); });
            if (instance.kernel == "TransposeSm75")
              for (const auto &[batch, rows, columns, pad] : {std::tuple{1, 1, 1, 0}, {2, 64, 64, 0}, {3, 65, 63, 0}, {1, 130, 1000, 5}, {2, 777, 300, 4}, {1, 2, 5000, 1}})
                run(std::to_string(batch) + "x" + std::to_string(rows) + "x" + std::to_string(columns) + "+" + std::to_string(pad), [&](uint64_t s) { return run_transpose_case(device, instance, reference, batch, rows, columns, pad, s); });
            if (instance.kernel == "GatherRowsSm75")
              for (const auto &[rows, columns, words, stray] : {std::tuple{1, 8, 1, false}, {9, 768, 1000, false}, {128, 768, 30522, false}, {33, 264, 17, true}})
                run(std::to_string(rows) + "x" + std::to_string(columns) + "of" + std::to_string(words) + (stray ? "outside" : ""), [&](uint64_t s) { return run_gather_case(device, instance, reference, rows, columns, words, stray, s); });
          }};
}
