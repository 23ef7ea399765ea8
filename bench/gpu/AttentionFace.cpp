// Our attention behind a plain C face, a shared library that peers.py loads: so ours and torch's back ends run in one process, in turns,
// on the same tensors and the same clock.
#include "../../native/test-gpu/Attention.hpp"

#include <cmath>
#include <cstdio>

namespace {
struct Face {
  Device device;
  std::vector<Instance> fitting;
  std::vector<std::unique_ptr<Launch>> launches;
};
} // namespace

extern "C" void *attention_open(const char *folder) try {
  auto *face = new Face{open_device(), {}, {}};
  for (const Instance &i : read_instances(folder))
    if (i.kernel == "AttentionSm90" && i.text("INPUT", "") == "f16" && !i.number("LENGTHS", 0) && !i.number("BIAS", 0) && !i.number("WINDOW", 0) && !i.number("PACKED", 0)) face->fitting.push_back(i);
  return face;
} catch (const std::exception &error) {
  return std::fprintf(stderr, "attention_open: %s\n", error.what()), nullptr;
}
extern "C" int attention_count(void *face) { return (int)static_cast<Face *>(face)->fitting.size(); }
extern "C" const char *attention_name(void *face, int i) { return static_cast<Face *>(face)->fitting[i].name.c_str(); }
// q, k, v, o: [batch, tokens, heads, dim], dense. Gives a number for attention_launch, or -1 where the instance is for another problem.
extern "C" int attention_prepare(void *face, int i, int batch, int tokens, int heads, int dim, int causal, unsigned long long q, unsigned long long k, unsigned long long v, unsigned long long o) try {
  auto *f = static_cast<Face *>(face);
  const Instance &instance = f->fitting[i];
  if (instance.number("HEAD_DIM", 0) != dim || instance.number("CAUSAL", 0) != causal) return -1;
  AttentionProblem p;
  p.batch = batch, p.queries = p.keys = tokens, p.heads = p.kv_heads = heads, p.dim = dim, p.scale = 1.0f / std::sqrt((float)dim);
  p.q = q, p.k = k, p.v = v, p.o = o;
  f->launches.push_back(std::make_unique<Launch>(prepare_attention(f->device, instance, p)));
  return (int)f->launches.size() - 1;
} catch (const std::exception &error) {
  return std::fprintf(stderr, "attention_prepare: %s\n", error.what()), -1;
}
extern "C" int attention_launch(void *face, int launch, void *stream) try {
  (*static_cast<Face *>(face)->launches[launch])(static_cast<CUstream>(stream));
  return 0;
} catch (const std::exception &error) {
  return std::fprintf(stderr, "attention_launch: %s\n", error.what()), 1;
}
