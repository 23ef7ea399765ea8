// What stands behind each kind of handle.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "handles.h"
#include "libraries.h"

// A device's primary context, kept while anything of it lives (pinned memory that a typed array still shows included).
struct PrimaryContext {
  std::shared_ptr<Driver> driver;
  cu::Device device = 0;
  int ordinal = 0;
  cu::Context handle = nullptr;

  ~PrimaryContext() {
    if (handle != nullptr) driver->primaryCtxRelease(device);
  }
  void makeCurrent(const char* doing) const { CUDA_CALL(*driver, ctxSetCurrent, doing, handle); }
};

struct ContextObject : Object {
  static constexpr Kind tag = Kind::Context;
  std::shared_ptr<PrimaryContext> primary;
  std::vector<cu::Event> spareEvents;  // without timing, for waits and for ordering streams
  ContextObject() : Object(tag) {}
};

struct NodeRecord {
  cu::GraphNode node = nullptr;
  std::string name;             // the kernel's
  std::vector<Handle> objects;  // what must be alive at a replay
  std::array<unsigned, 3> cluster{1, 1, 1};
};

// What a capture under way has seen so far; shared by all streams that joined it.
struct Capture {
  Handle origin = 0;
  std::vector<Handle> streams;
  std::vector<NodeRecord> kernels;
  std::vector<Handle> others;  // buffers of copies and fills
};

struct StreamObject : Object {
  static constexpr Kind tag = Kind::Stream;
  cu::Stream handle = nullptr;
  std::uint64_t submitted = 0;
  std::uint64_t completed = 0;
  std::shared_ptr<Capture> capture;
  StreamObject() : Object(tag) {}
};

struct EventObject : Object {
  static constexpr Kind tag = Kind::Event;
  cu::Event handle = nullptr;
  bool timing = false;
  std::weak_ptr<Capture> capture;  // of its last record; empty once that capture has ended
  EventObject() : Object(tag) {}
};

struct PoolObject : Object {
  static constexpr Kind tag = Kind::Pool;
  cu::Pool handle = nullptr;
  PoolObject() : Object(tag) {}
};

enum class MemoryOrigin : std::uint8_t { Plain, StreamOrdered, Guarded, ModuleGlobal };

struct MemoryObject : Object {
  static constexpr Kind tag = Kind::Memory;
  MemoryOrigin origin = MemoryOrigin::Plain;
  cu::DevicePtr address = 0;
  std::size_t bytes = 0;
  Handle pool = 0;                      // StreamOrdered; 0: the device's default pool
  cu::DevicePtr reserved = 0, mapped = 0;  // Guarded: the reservation, and the mapped part inside it
  std::size_t reservedBytes = 0, mappedBytes = 0;
  cu::PhysicalMemory physical = 0;
  MemoryObject() : Object(tag) {}
};

// Page-locked memory. The block frees itself when neither the table nor any typed array shows it any more.
struct PinnedBlock {
  std::shared_ptr<PrimaryContext> primary;
  void* data = nullptr;
  std::size_t bytes = 0;
  bool registered = false;  // JavaScript's own memory, only locked by us
  ~PinnedBlock() {
    if (data == nullptr || primary->driver->ctxSetCurrent(primary->handle) != cu::success) return;
    if (registered)
      primary->driver->memHostUnregister(data);
    else
      primary->driver->memFreeHost(data);
  }
};

struct ModuleObject : Object {
  static constexpr Kind tag = Kind::Module;
  cu::Module handle = nullptr;
  std::vector<Handle> functions;  // go with the module
  ModuleObject() : Object(tag) {}
};

struct FunctionObject : Object {
  static constexpr Kind tag = Kind::Function;
  cu::Function handle = nullptr;
  Handle module = 0;
  std::string name;
  bool layoutKnown = false;                                   // the driver can tell (CUDA 12.4 and later)
  std::vector<std::pair<std::size_t, std::size_t>> parameters;  // offset, bytes
  std::size_t parameterBytes = 0;
  FunctionObject() : Object(tag) {}
};

struct BufferArgument {
  Handle memory = 0;
  Object* object = nullptr;  // valid while LaunchObject::checkedEpoch is the table's epoch
};

struct LaunchObject : Object {
  static constexpr Kind tag = Kind::Launch;
  Handle function = 0;
  FunctionObject* functionObject = nullptr;
  ModuleObject* moduleObject = nullptr;
  cu::LaunchConfig config{};
  std::vector<cu::LaunchAttribute> attributes;
  std::array<unsigned, 3> cluster{1, 1, 1};
  std::vector<std::uint64_t> block;  // packed parameters, 8-byte aligned
  std::size_t blockBytes = 0;
  std::vector<void*> pointers;       // to each parameter in the block, where the kernel's layout is known
  void* extra[5] = {};               // the whole block, where it is not

  void** asPointers() { return functionObject->layoutKnown ? pointers.data() : nullptr; }
  void** asBlock() { return functionObject->layoutKnown ? nullptr : extra; }
  std::vector<BufferArgument> buffers;
  std::uint64_t checkedEpoch = 0;
  // Submitted again and again to one stream, it is kept as a graph of one node, which costs the host about half of a launch.
  cu::GraphExec resolved = nullptr;
  Handle repeatedOn = 0;
  unsigned repeats = 0;
  LaunchObject() : Object(tag) {}
};

struct GraphObject : Object {
  static constexpr Kind tag = Kind::Graph;
  cu::Graph handle = nullptr;
  Capture capture;
  GraphObject() : Object(tag) {}
};

struct GraphExecObject : Object {
  static constexpr Kind tag = Kind::GraphExec;
  cu::GraphExec handle = nullptr;
  std::vector<NodeRecord> kernels;
  std::vector<Handle> others;
  std::uint64_t checkedEpoch = 0;
  GraphExecObject() : Object(tag) {}
};
