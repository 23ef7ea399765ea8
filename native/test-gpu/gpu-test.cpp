// Tests every instance on the GPU: `gpu-test FOLDER [--only TEXT] [--json FILE]`, FOLDER holding instances.txt and cubins.
// Prints what failed by name and a table of counts; exits with 1 when something failed.
#include "GemmCases.hpp"
#include "TokenCases.hpp"

#include <map>

static void write_json(FILE *file, const std::string &kernel, const CaseResult &r) {
  if (!file) return;
  std::string text;
  for (const char c : r.verdict) text += c == '"' || c == '\\' ? '\'' : c;
  std::fprintf(file, "{\"template\":\"%s\",\"case\":\"%s\",\"verdict\":\"%s\"}\n", kernel.c_str(), r.name.c_str(), text.c_str());
}

int main(int count, char **arguments) {
  const std::string folder = count > 1 ? arguments[1] : "native/build/gpu";
  std::string only, json;
  for (int i = 2; i + 1 < count; i += 2) (std::string(arguments[i]) == "--only" ? only : json) = arguments[i + 1];
  const std::vector<Instance> instances = read_instances(folder);
  const Instance *reference = nullptr;
  for (const Instance &i : instances)
    if (i.name == "reference") reference = &i;
  if (!reference) throw std::runtime_error("instances.txt names no reference");
  FILE *file = json.empty() ? nullptr : std::fopen(json.c_str(), "w");
  std::map<std::string, std::pair<int, int>> counts;
  int failed = 0;
  for (const Instance &instance : instances) {
    if (instance.name.find(only) == std::string::npos) continue;
    Group group;
    if (instance.kernel == "GemmSm90") group = gemm_group(instance, *reference);
    else if (instance.kernel == "SkinnySm80") group = skinny_group(instance, *reference);
    else if (instance.kernel == "AttentionSm90") group = attention_group(instance, *reference);
    else if (instance.kernel == "PagedDecodeSm80") group = decode_group(instance, *reference);
    else continue;
    for (const CaseResult &r : run_group(group)) {
      auto &[good, bad] = counts[instance.kernel + " " + (instance.kernel == "SkinnySm80" ? instance.text("WEIGHT", "") : instance.text("INPUT", ""))];
      if (r.verdict == "pass") good++;
      else bad++, failed++, std::printf("FAIL %s: %s\n", r.name.c_str(), r.verdict.c_str());
      write_json(file, instance.kernel, r);
    }
  }
  for (const auto &[name, c] : counts) std::printf("%-28s %5d passed %5d failed\n", name.c_str(), c.first, c.second);
  if (file) std::fclose(file);
  return failed ? 1 : 0;
}
