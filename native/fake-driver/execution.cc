// Modules, kernels, launches.
#include <cstring>
#include <sstream>

#include "fake.h"

namespace fake {
cu::Result submit(Stream* stream, int type, std::function<cu::Result(Stream*)> work) {
  if (stream->capture == nullptr) return work(stream);
  auto* node = new Node{type, std::move(work)};
  stream->capture->nodes.push_back(node);
  stream->capture->last = {node};
  return cu::success;
}

static std::size_t offsetOf(const Kernel& kernel, std::size_t index) {
  std::size_t at = 0;
  for (std::size_t i = 0; i <= index; i++) {
    const std::size_t size = kernel.sizes[i], align = size >= 128 ? 64 : size > 8 ? 8 : size;
    at = (at + align - 1) / align * align;
    if (i < index) at += size;
  }
  return at;
}
std::vector<std::uint8_t> parameterBlock(const Kernel& kernel, void** pointers, void** extra) {
  if (extra != nullptr) {
    const auto* data = static_cast<const std::uint8_t*>(extra[1]);
    return {data, data + *static_cast<std::size_t*>(extra[3])};
  }
  std::vector<std::uint8_t> block;
  for (std::size_t i = 0; i < kernel.sizes.size(); i++) {
    const std::size_t at = offsetOf(kernel, i);
    block.resize(at + kernel.sizes[i]);
    std::memcpy(block.data() + at, pointers[i], kernel.sizes[i]);
  }
  return block;
}

std::function<cu::Result(Stream*)> kernelWork(const Kernel& kernel, std::vector<std::uint8_t> parameters) {
  if (kernel.name == "fill")
    return [parameters](Stream*) -> cu::Result {
      std::uint64_t address;
      std::uint32_t count, value;
      std::memcpy(&address, parameters.data(), 8);
      std::memcpy(&count, parameters.data() + 8, 4);
      std::memcpy(&value, parameters.data() + 12, 4);
      if (!inside(address, std::size_t(count) * 4)) return errorIllegalAddress;
      for (std::uint32_t i = 0; i < count; i++) reinterpret_cast<std::uint32_t*>(address)[i] = value;
      return cu::success;
    };
  if (kernel.name == "slow")
    return [](Stream* stream) -> cu::Result {
      if (stream->busyPolls >= 0) stream->busyPolls = 200;
      return cu::success;
    };
  if (kernel.name == "hang")
    return [](Stream* stream) -> cu::Result {
      stream->busyPolls = -1;
      return cu::success;
    };
  if (kernel.name == "crash")
    return [](Stream* stream) -> cu::Result {
      stream->context->broken = errorIllegalAddress;  // seen by the next call, as on a device
      return cu::success;
    };
  return [](Stream*) -> cu::Result { return cu::success; };
}
}  // namespace fake
using namespace fake;

FAKE_API cu::Result cuModuleLoadDataEx(cu::Module* out, const void* image, unsigned, int*, void** values) {
  FAKE_ENTER();
  std::istringstream lines(static_cast<const char*>(image));
  std::string line;
  std::getline(lines, line);
  if (line != "fake-image") {
    std::strcpy(static_cast<char*>(values[0]), "not an image of the stand-in driver");
    return errorInvalidImage;
  }
  auto* module = new Module{context, {}, {}};
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string what, name;
    words >> what >> name;
    std::size_t size;
    if (what == "kernel") {
      Kernel kernel{name, {}, {}};
      while (words >> size) kernel.sizes.push_back(size);
      module->kernels[name] = kernel;
    } else if (what == "global" && words >> size) {
      auto& data = module->globals[name];
      data.assign(size, 0);
      state().allocations[reinterpret_cast<cu::DevicePtr>(data.data())] = {context, size, nullptr};
    }
  }
  return keep(module, out);
}
FAKE_API cu::Result cuModuleUnload(cu::Module handle) {
  std::lock_guard lock(state().mutex);
  auto* module = live<Module>(handle);
  if (module == nullptr) return errorInvalidHandle;
  for (auto& [name, data] : module->globals) state().allocations.erase(reinterpret_cast<cu::DevicePtr>(data.data()));
  return drop(module);
}
FAKE_API cu::Result cuModuleGetFunction(cu::Function* out, cu::Module handle, const char* name) {
  FAKE_ENTER();
  auto* module = live<Module>(handle);
  if (module == nullptr) return errorInvalidHandle;
  auto found = module->kernels.find(name);
  if (found == module->kernels.end()) return errorNotFound;
  *out = reinterpret_cast<cu::Function>(&found->second);
  return cu::success;
}
FAKE_API cu::Result cuModuleGetGlobal_v2(cu::DevicePtr* address, std::size_t* bytes, cu::Module handle, const char* name) {
  FAKE_ENTER();
  auto* module = live<Module>(handle);
  if (module == nullptr) return errorInvalidHandle;
  auto found = module->globals.find(name);
  if (found == module->globals.end()) return errorNotFound;
  *address = reinterpret_cast<cu::DevicePtr>(found->second.data());
  *bytes = found->second.size();
  return cu::success;
}
FAKE_API cu::Result cuFuncGetAttribute(int* value, int attribute, cu::Function function) {
  auto* kernel = reinterpret_cast<Kernel*>(function);
  static const std::map<int, int> values = {{0, 1024}, {1, 0}, {2, 0}, {3, 0}, {4, 32}, {5, 90}, {6, 90}, {8, 49152}};
  if (auto set = kernel->attributes.find(attribute); set != kernel->attributes.end()) {
    *value = set->second;
    return cu::success;
  }
  auto found = values.find(attribute);
  if (found == values.end()) return cu::errorInvalidValue;
  *value = found->second;
  return cu::success;
}
FAKE_API cu::Result cuFuncSetAttribute(cu::Function function, int attribute, int value) {
  if (attribute == 8 && value > 232448) return cu::errorInvalidValue;
  reinterpret_cast<Kernel*>(function)->attributes[attribute] = value;
  return cu::success;
}
FAKE_API cu::Result cuFuncGetParamInfo(cu::Function function, std::size_t index, std::size_t* offset, std::size_t* bytes) {
  const auto& sizes = reinterpret_cast<Kernel*>(function)->sizes;
  if (index >= sizes.size()) return cu::errorInvalidValue;
  *offset = offsetOf(*reinterpret_cast<Kernel*>(function), index);
  *bytes = sizes[index];
  return cu::success;
}
FAKE_API cu::Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, cu::Function, int threads, std::size_t) {
  *blocks = threads > 0 ? 2048 / threads : 0;
  return cu::success;
}
FAKE_API cu::Result cuOccupancyMaxActiveClusters(int* clusters, cu::Function, const cu::LaunchConfig*) {
  *clusters = 66;
  return cu::success;
}
FAKE_API cu::Result cuLaunchKernelEx(const cu::LaunchConfig* config, cu::Function function, void** pointers, void** extra) {
  FAKE_ENTER();
  auto* stream = live<Stream>(config->stream);
  if (stream == nullptr) return errorInvalidHandle;
  auto* kernel = reinterpret_cast<Kernel*>(function);
  auto limit = kernel->attributes.find(8);
  const unsigned shared = limit == kernel->attributes.end() ? 49152u : unsigned(limit->second);
  if (config->blockX * config->blockY * config->blockZ > 1024 || config->sharedBytes > shared) return cu::errorInvalidValue;
  return submit(stream, 0, kernelWork(*kernel, parameterBlock(*kernel, pointers, extra)));
}
FAKE_API cu::Result cuTensorMapEncodeTiled(cu::TensorMap* map, int, std::uint32_t rank, void* address, const std::uint64_t*,
                                           const std::uint64_t* strides, const std::uint32_t* box, const std::uint32_t*, int,
                                           int, int, int) {
  for (std::uint32_t i = 0; i < rank; i++)
    if (box[i] == 0 || box[i] > 256 || (i + 1 < rank && strides[i] % 16 != 0)) return cu::errorInvalidValue;
  map->opaque[0] = reinterpret_cast<std::uint64_t>(address);
  return cu::success;
}
