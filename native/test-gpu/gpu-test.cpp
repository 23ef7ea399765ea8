// Tests every instance on the GPU: `gpu-test FOLDER [--only TEXT] [--json FILE] [--slow N] [--first N] [--part I/N]`, FOLDER holding
// instances.txt and cubins; --slow multiplies the deadlines and --first runs only the first cases of each instance
// (compute-sanitizer); --part takes every N-th instance, so that processes beside one another share the work, and leaves the
// planted mistakes to a run without it.
// Prints what failed by name and a table of counts; exits with 1 when something failed.
#include "FewChannelCases.hpp"
#include "DepthwiseCases.hpp"
#include "GemmCases.hpp"
#include "OperationCases.hpp"
#include "PlantedCases.hpp"
#include "RowCases.hpp"
#include "TiledCases.hpp"

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
  double slow = 1;
  int part = 0, parts = 0, at = 0;
  for (int i = 2; i + 1 < count; i += 2) {
    const std::string option = arguments[i];
    if (option == "--only") only = arguments[i + 1];
    else if (option == "--json") json = arguments[i + 1];
    else if (option == "--first") most_cases() = std::stoi(arguments[i + 1]);
    else if (option == "--part") part = std::atoi(arguments[i + 1]), parts = std::atoi(std::strchr(arguments[i + 1], '/') + 1);
    else if (option == "--slow") slow = std::stod(arguments[i + 1]);
    else return std::fprintf(stderr, "no option %s\n", option.c_str()), 2;
  }
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
    if (parts && (instance.entry == "planted" || at++ % parts != part)) continue;
    Group group;
    if (instance.kernel == "GemmSm90" && instance.number("GROUPED", 0)) group = grouped_group(instance, *reference);
    else if (instance.kernel == "DepthwiseSm75") group = depthwise_group(instance, *reference);
    else if (instance.kernel == "TopKSm75" || instance.kernel == "RotarySm75" || instance.kernel == "TransposeSm75" || instance.kernel == "GatherRowsSm75") group = operation_group(instance, *reference);
    else if (instance.kernel == "GemmSm90") group = gemm_group(instance, *reference);
    else if (instance.kernel == "ConvSm90") group = conv_group(instance, *reference);
    else if (instance.kernel == "GemmSm75") group = tiled_group(instance, *reference);
    else if (instance.kernel == "ConvSm75") group = tiled_conv_group(instance, *reference);
    else if (instance.kernel == "FewChannelsSm80") group = few_channels_group(instance, *reference);
    else if (instance.kernel == "SkinnySm80" || instance.kernel == "SkinnySm90") group = skinny_group(instance, *reference);
    else if (instance.kernel == "AttentionSm90") group = attention_group(instance, *reference);
    else if (instance.kernel == "PagedDecodeSm80") group = decode_group(instance, *reference);
    else if (instance.kernel == "RowsSm75" || instance.kernel == "PointwiseSm75") group = rows_group(instance, *reference);
    else if (instance.entry == "planted") group = planted_group(instance, *reference);
    else continue;
    group.deadline_s *= slow;
    if (instance.entry == "planted") {
      // Here a mistake that is found is a pass.
      const std::string want = expected_verdict(instance.number("BUG", 0));
      for (const CaseResult &r : run_group(group)) {
        const bool found = r.verdict.find(want) != std::string::npos;
        std::printf("%s %s: %s\n", found ? "found" : "MISSED", r.name.c_str(), r.verdict.c_str());
        auto &[good, bad] = counts["planted mistakes"];
        if (found) good++;
        else bad++, failed++;
        write_json(file, "planted", {r.name, found ? "pass" : r.verdict});
      }
      continue;
    }
    for (const CaseResult &r : run_group(group)) {
      auto &[good, bad] = counts[instance.kernel + " " + instance.text("INPUT", instance.text("WEIGHT", instance.text("T", instance.text("ELEMENT", "f16"))))];
      if (r.verdict == "pass") good++;
      else bad++, failed++, std::printf("FAIL %s: %s\n", r.name.c_str(), r.verdict.c_str());
      write_json(file, instance.kernel, r);
    }
  }
  for (const auto &[name, c] : counts) std::printf("%-28s %5d passed %5d failed\n", name.c_str(), c.first, c.second);
  if (file) std::fclose(file);
  return failed ? 1 : 0;
}
