// Cases of AttentionSm90 (masks, bias, windows, packed sequences) and PagedDecodeSm80 (16-bit and one-byte K and V).
#pragma once
#include "TokenCases.hpp"

inline std::string run_attention_case(const Device &device, const Instance &instance, const Reference &reference, const AttentionProblem &shape, uint64_t seed) {
  AttentionProblem p = shape;
  const Type type = type_named(instance.text("INPUT", "f16"));
  p.dim = instance.number("HEAD_DIM", 128);
  p.scale = 1.0f / std::sqrt((float)p.dim);
  const bool packed = instance.number("PACKED", 0) != 0;
  std::mt19937 random((unsigned)seed);
  // Lengths of 1 to the longest; packed sequences may be empty on either side.
  std::vector<int> lengths(p.batch), query_starts(p.batch + 1, 0), key_starts(p.batch + 1, 0);
  for (int b = 0; b < p.batch; b++) {
    lengths[b] = b == 0 ? p.keys : 1 + (int)(random() % p.keys);
    query_starts[b + 1] = query_starts[b] + (b == 0 ? p.queries : (int)(random() % (p.queries + 1)));
    key_starts[b + 1] = key_starts[b] + (b == 0 ? p.keys : 1 + (int)(random() % p.keys));
  }
  p.query_tokens = packed ? query_starts[p.batch] : p.batch * p.queries, p.key_tokens = packed ? key_starts[p.batch] : p.batch * p.keys;
  const long long q_count = (long long)p.query_tokens * p.heads * p.dim, k_count = (long long)p.key_tokens * p.kv_heads * p.dim;
  const long long bias_query = p.keys + 3, bias_head = bias_query * p.queries, bias_count = bias_head * p.heads;
  const GuardedBuffer q(device, q_count * 2, 16), k(device, k_count * 2, 16), v(device, k_count * 2, 16), o(device, q_count * 2, 16), expected(device, q_count * 8);
  const GuardedBuffer bias(device, bias_count * 2, 16), length(device, p.batch * 4, 16), starts_q(device, (p.batch + 1) * 4, 16), starts_k(device, (p.batch + 1) * 4, 16);
  p.q = q.data(), p.k = k.data(), p.v = v.data(), p.o = o.data();
  reference.fill(p.q, type, q_count, seed * 7 + 1, 1.5f);
  reference.fill(p.k, type, k_count, seed * 7 + 2, 1.5f);
  reference.fill(p.v, type, k_count, seed * 7 + 3);
  ReferenceAttention r;
  r.type = r.kv_type = (int)type, r.batch = p.batch, r.queries = p.queries, r.keys = p.keys, r.heads = p.heads, r.kv_heads = p.kv_heads, r.dim = p.dim, r.scale = p.scale;
  r.causal = instance.number("CAUSAL", 0);
  if (instance.number("WINDOW", 0)) r.window = p.window = 1 + (int)(random() % (p.keys + 40));
  if (instance.number("LENGTHS", 0)) upload(device, length.data(), lengths.data(), p.batch * 4), r.lengths = p.key_lengths = length.data();
  if (packed) {
    upload(device, starts_q.data(), query_starts.data(), (p.batch + 1) * 4), upload(device, starts_k.data(), key_starts.data(), (p.batch + 1) * 4);
    r.query_starts = p.query_starts = starts_q.data(), r.key_starts = p.key_starts = starts_k.data();
  }
  if (instance.number("BIAS", 0)) {
    // One bias for all sequences, as a position bias is.
    reference.fill(bias.data(), type, bias_count, seed * 7 + 4, 2.0f);
    r.bias = p.bias = bias.data(), r.bias_head = p.bias_head = bias_head, r.bias_query = p.bias_query = bias_query;
  }
  CHECK_CUDA(cuMemsetD8Async(expected.data(), 0, q_count * 8, device.stream));
  reference.attention(expected.data(), p.q, p.k, p.v, r);
  o.poison(0xFF);
  prepare_attention(device, instance, p)(device.stream);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  const std::string stray = check_guards({{"Q", &q}, {"K", &k}, {"V", &v}, {"O", &o}, {"bias", &bias}});
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
            for (const Shape &s : {Shape{1, 1, 1, 1, 1}, {1, 128, 128, 2, 2}, {4, 700, 700, 2, 1}, {2, 100, 100, 3, 1}, {1, 300, 300, 4, 2}, {1, 64, 777, 2, 2}, {3, 513, 1025, 4, 4}, {2, 1200, 1200, 9, 3}, {1, 200, 90, 2, 1}}) {
              AttentionProblem p;
              p.batch = s.batch, p.queries = s.queries, p.keys = s.keys, p.heads = s.heads, p.kv_heads = s.kv_heads;
              const std::string name = instance.name + "/b" + std::to_string(s.batch) + "q" + std::to_string(s.queries) + "k" + std::to_string(s.keys) + "h" + std::to_string(s.heads) + "g" + std::to_string(s.kv_heads);
              begin_case(name);
              end_case(name, run_attention_case(device, instance, reference, p, 70 + i++));
            }
          }};
}

inline std::string run_decode_case(const Device &device, const Instance &instance, const Reference &reference, int batch, int longest, int heads, int kv_heads, int splits, uint64_t seed) {
  const Type type = type_named(instance.text("INPUT", "f16")), kv_type = type_named(instance.text("KV", instance.text("INPUT", "f16")));
  const bool narrow = type_bytes(kv_type) == 1;
  const size_t element = type_bytes(kv_type);
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
  const GuardedBuffer q(device, q_count * 2, 16), k(device, pool * element, 16), v(device, pool * element, 16), out(device, q_count * 2, 16), expected(device, q_count * 8);
  const GuardedBuffer at(device, table.size() * 4, 16), length(device, batch * 4, 16), partial(device, (long long)batch * heads * splits * (dim + 2) * 4, 16), k_scales(device, kv_heads * 4, 16), v_scales(device, kv_heads * 4, 16);
  reference.fill(q.data(), type, q_count, seed * 9 + 1, 1.5f);
  reference.fill(k.data(), kv_type, pool, seed * 9 + 2, 1.5f);
  reference.fill(v.data(), kv_type, pool, seed * 9 + 3);
  std::vector<float> k_scale(kv_heads), v_scale(kv_heads);
  for (float &x : k_scale) x = (kv_type == Type::s8 ? 0.02f : 1.0f) * (0.5f + (float)(random() % 100) / 100);
  for (float &x : v_scale) x = 0.1f + (float)(random() % 100) / 100;
  upload(device, k_scales.data(), k_scale.data(), kv_heads * 4), upload(device, v_scales.data(), v_scale.data(), kv_heads * 4);
  upload(device, at.data(), table.data(), table.size() * 4);
  upload(device, length.data(), lengths.data(), batch * 4);
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  // The reference reads sequences laid out flat; what lies beyond a sequence's length becomes NaN in the pool.
  const size_t flat = (size_t)batch * longest * kv_heads * dim;
  const Buffer flat_k(flat * element), flat_v(flat * element);
  for (const auto &[from, to] : {std::pair{&k, &flat_k}, {&v, &flat_v}}) {
    std::vector<uint8_t> host = download<uint8_t>(from->data(), pool * element), line(flat * element);
    for (int b = 0; b < batch; b++)
      for (int t = 0; t < of_sequence * page; t++)
        for (int h = 0; h < kv_heads; h++) {
          const size_t source = (((size_t)table[b * of_sequence + t / page] * kv_heads + h) * page + t % page) * dim * element;
          if (t < longest) std::copy_n(host.begin() + source, dim * element, line.begin() + (((size_t)b * longest + t) * kv_heads + h) * dim * element);
          // 0x7F7F and, of one byte, 0x7F: a NaN of every type but s8.
          if (t >= lengths[b]) std::fill_n(host.begin() + source, dim * element, (uint8_t)0x7F);
        }
    upload(device, to->data(), line.data(), flat * element);
    upload(device, from->data(), host.data(), pool * element);
  }
  DecodeProblem p;
  p.batch = batch, p.heads = heads, p.kv_heads = kv_heads, p.dim = dim, p.pages_of_sequence = of_sequence, p.splits = splits, p.pool_pages = pages, p.scale = 1.0f / std::sqrt((float)dim);
  p.q = q.data(), p.k = k.data(), p.v = v.data(), p.table = at.data(), p.lengths = length.data(), p.out = out.data(), p.partial = partial.data();
  if (narrow) p.k_scales = k_scales.data(), p.v_scales = v_scales.data();
  ReferenceAttention r;
  r.type = (int)type, r.kv_type = (int)kv_type, r.batch = batch, r.queries = 1, r.keys = longest, r.heads = heads, r.kv_heads = kv_heads, r.dim = dim, r.scale = p.scale, r.lengths = p.lengths, r.k_scales = p.k_scales, r.v_scales = p.v_scales;
  reference.attention(expected.data(), p.q, flat_k.data(), flat_v.data(), r);
  out.poison(0xFF), partial.poison(0);
  const Launch launch = prepare_decode(instance, p);
  launch(device.stream), launch(device.stream); // twice: the first must leave `partial` empty
  CHECK_CUDA(cuStreamSynchronize(device.stream));
  for (const uint32_t word : download<uint32_t>(partial.data(), (size_t)batch * heads * splits * (dim + 2)))
    if (word != 0) return "the sums of the splits were not cleared";
  const std::string stray = check_guards({{"Q", &q}, {"K", &k}, {"V", &v}, {"out", &out}, {"partial", &partial}});
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
            for (const Shape &s : {Shape{3, 333, 8, 2, 3}, {1, 1, 1, 1, 1}, {1, 64, 4, 1, 1}, {2, 1000, 32, 8, 16}, {5, 700, 8, 8, 2}, {1, 900, 16, 2, 64}, {2, 300, 4, 1, 7}, {1, 9000, 8, 1, 16}}) {
              if (instance.number("CLUSTER", 0) && s.splits > 16) continue;
              const std::string name = instance.name + "/b" + std::to_string(s.batch) + "t" + std::to_string(s.longest) + "h" + std::to_string(s.heads) + "g" + std::to_string(s.kv_heads) + "s" + std::to_string(s.splits);
              begin_case(name);
              end_case(name, run_decode_case(device, instance, reference, s.batch, s.longest, s.heads, s.kv_heads, s.splits, 90 + i++));
            }
          }};
}
