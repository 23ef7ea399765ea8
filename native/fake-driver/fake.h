// A stand-in for the CUDA driver, so that the addon itself (its table of handles, its checks, its waits, what it gives back)
// is tested on machines without a GPU. It is not an emulator: device memory is host memory, work is done when it is submitted,
// and kernels are a few C++ functions that an image names.
//
//   image    "fake-image\nkernel fill 8 4 4\nkernel hang\nglobal table 64\n"
//   kernels  fill(pointer, count, value)  writes 32-bit words;   slow  keeps its stream busy for some polls;
//            hang  keeps it busy for ever;   crash  breaks the context, as an illegal address does
//
// Every object costs 4,096 bytes of "device memory", so that free memory back at its start means that nothing is left over.
// Compute capability 9.0, one or more devices (FAKE_CUDA_DEVICES, default 2) of 1 GiB each.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cuda_abi.h"

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace fake {

inline constexpr std::size_t objectCost = 4096;
inline constexpr std::size_t deviceBytes = std::size_t{1} << 30;
inline constexpr int errorNotInitialized = 3;
inline constexpr int errorInvalidImage = 200;
inline constexpr int errorInvalidContext = 201;
inline constexpr int errorInvalidDevice = 101;
inline constexpr int errorInvalidHandle = 400;
inline constexpr int errorNotFound = 500;
inline constexpr int errorIllegalAddress = 700;
inline constexpr int errorHostMemoryAlreadyRegistered = 712;
inline constexpr int errorCaptureUnsupported = 900;
inline constexpr int errorCaptureInvalidated = 901;

struct Context {
  int ordinal = 0;
  int retained = 0;
  std::size_t used = 0;
  cu::Result broken = cu::success;
};

struct Graph;

struct Stream {
  Context* context;
  std::int64_t busyPolls = 0;  // < 0: for ever
  Graph* capture = nullptr;
};
struct Event {
  Context* context;
  Stream* stream = nullptr;
  bool recorded = false;
  double at = 0;
  Graph* capture = nullptr;
};
struct Pool {
  Context* context;
  std::uint64_t keep = 0, reserved = 0, used = 0;
};
struct Kernel {
  std::string name;
  std::vector<std::size_t> sizes;
  std::map<int, int> attributes;
};
struct Module {
  Context* context;
  std::map<std::string, Kernel> kernels;
  std::map<std::string, std::vector<std::uint8_t>> globals;
};
struct Node {
  int type;  // 0 kernel, 1 copy, 2 fill
  std::function<cu::Result(Stream*)> run;
};
struct Graph {
  Context* context;
  std::vector<Node*> nodes;
  std::vector<Node*> last;
  std::vector<Stream*> streams;  // what the capture has joined
  ~Graph() {
    for (Node* node : nodes) delete node;
  }
};
struct Exec {
  Context* context;
  std::map<Node*, std::function<cu::Result(Stream*)>> work;
  std::vector<Node*> order;
};
struct Allocation {
  Context* context;
  std::size_t bytes;
  Pool* pool = nullptr;
};

struct State {
  std::mutex mutex;
  bool initialised = false;
  std::vector<Context> devices;
  std::map<cu::DevicePtr, Allocation> allocations;
  std::map<void*, std::size_t> hostAllocations, registered;
  std::set<void*> live;  // every object handed out, so that a wrong or stale one is noticed
  std::map<cu::PhysicalMemory, std::pair<Context*, std::size_t>> physical;
  std::map<cu::DevicePtr, std::size_t> reservations;
};
State& state();
Context*& current();

// Checks that the driver is initialised and the current context usable.
cu::Result ready(Context*& context);
cu::Result charge(Context* context, std::size_t bytes);
template <typename T, typename Opaque>
T* live(Opaque handle) {
  void* raw = reinterpret_cast<void*>(handle);
  return state().live.count(raw) != 0 ? static_cast<T*>(raw) : nullptr;
}
template <typename T, typename Opaque>
cu::Result keep(T* object, Opaque* out) {
  if (cu::Result result = charge(object->context, objectCost); result != cu::success) {
    delete object;
    return result;
  }
  state().live.insert(object);
  *out = reinterpret_cast<Opaque>(object);
  return cu::success;
}
template <typename T>
cu::Result drop(T* object) {
  if (object == nullptr) return errorInvalidHandle;
  object->context->used -= objectCost;
  state().live.erase(object);
  delete object;
  return cu::success;
}
// True when [address, address + bytes) lies in one allocation, global or mapped range.
bool inside(cu::DevicePtr address, std::size_t bytes);
// Runs now, or records into the graph that is being captured.
cu::Result submit(Stream* stream, int type, std::function<cu::Result(Stream*)> work);
// A launch's parameters as one block, given either way.
std::vector<std::uint8_t> parameterBlock(const Kernel& kernel, void** pointers, void** extra);
std::function<cu::Result(Stream*)> kernelWork(const Kernel& kernel, std::vector<std::uint8_t> parameters);

}  // namespace fake

#define FAKE_ENTER()                                         \
  std::lock_guard fake_lock(fake::state().mutex);            \
  fake::Context* context = nullptr;                          \
  if (cu::Result fake_result = fake::ready(context); fake_result != cu::success) return fake_result
