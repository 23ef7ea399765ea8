// A compiled kernel: one line of build/gpu/instances.txt, "name entry DEFINE=value ...", and its cubin beside it.
#pragma once
#include "Cuda.hpp"

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

struct Instance {
  std::string name, kernel, entry;
  std::map<std::string, std::string> defines;
  std::string folder;

  int number(const std::string &key, int otherwise) const {
    const auto it = defines.find(key);
    return it == defines.end() ? otherwise : std::stoi(it->second);
  }
  std::string text(const std::string &key, const std::string &otherwise) const {
    const auto it = defines.find(key);
    return it == defines.end() ? otherwise : it->second;
  }
};

inline std::vector<Instance> read_instances(const std::string &folder) {
  std::ifstream file(folder + "/instances.txt");
  if (!file) throw std::runtime_error("no instances.txt in " + folder + ": run node native/kernels/compile-all.ts");
  std::vector<Instance> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Instance i;
    words >> i.name >> i.kernel >> i.entry;
    for (std::string word; words >> word;) {
      const size_t at = word.find('=');
      i.defines[word.substr(0, at)] = at == std::string::npos ? "" : word.substr(at + 1);
    }
    i.folder = folder;
    all.push_back(std::move(i));
  }
  return all;
}

// Loaded once, unloaded with the process.
inline CUfunction load_function(const Instance &instance, const std::string &entry, int shared_bytes) {
  static std::map<std::string, CUmodule> modules;
  CUmodule &module = modules[instance.name];
  if (!module) {
    std::ifstream file(instance.folder + "/" + instance.name + ".cubin", std::ios::binary);
    if (!file) throw std::runtime_error("no cubin for " + instance.name);
    const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    CHECK_CUDA(cuModuleLoadData(&module, bytes.data()));
  }
  CUfunction function;
  CHECK_CUDA(cuModuleGetFunction(&function, module, entry.c_str()));
  if (shared_bytes > 16 * 1024) CHECK_CUDA(cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, shared_bytes));
  return function;
}
inline CUfunction load_function(const Instance &instance, int shared_bytes) { return load_function(instance, instance.entry, shared_bytes); }

// One launch with its arguments kept, so that it can be repeated and captured.
struct Launch {
  CUfunction function = nullptr;
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  unsigned shared_bytes = 0;
  unsigned cluster = 0; // blocks along x, where the kernel does not fix it
  bool dependent = false; // the kernel waits for the one before by itself (programmatic dependent launch)
  std::vector<std::shared_ptr<void>> arguments;

  template <class T> Launch &add(const T &value) {
    void *at = aligned_alloc(64, (sizeof(T) + 63) / 64 * 64);
    new (at) T(value);
    arguments.emplace_back(at, free);
    return *this;
  }
  void operator()(CUstream stream) const {
    void *pointers[32];
    for (size_t i = 0; i < arguments.size(); i++) pointers[i] = arguments[i].get();
    CUlaunchAttribute attributes[2]{};
    unsigned count = 0;
    if (dependent) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
      attributes[count++].value.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
      attributes[count++].value.clusterDim = {cluster, 1, 1};
    }
    CUlaunchConfig config{};
    config.gridDimX = grid[0], config.gridDimY = grid[1], config.gridDimZ = grid[2];
    config.blockDimX = block[0], config.blockDimY = block[1], config.blockDimZ = block[2];
    config.sharedMemBytes = shared_bytes, config.hStream = stream;
    config.attrs = attributes, config.numAttrs = count;
    CHECK_CUDA(cuLaunchKernelEx(&config, function, pointers, nullptr));
  }
};
