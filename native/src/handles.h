// Every CUDA object that JavaScript can name, in one table. JavaScript holds a number: slot and generation. A number whose
// object is gone finds another generation, so use after free and double free are errors and never reach the driver.
//
//   handle = generation · 2^22 + slot        (< 2^53: exact in a JavaScript number)
//
// Objects also know what the device may still be doing with them. Work submitted to a stream gets a stamp; an object
// remembers (stream, stamp) of its last use there; a stream knows up to which stamp it has completed. Freeing something whose
// stamp is not completed is refused as busy, so a free never blocks and never pulls memory from under a running kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cuda_abi.h"
#include "failure.h"

using Handle = std::uint64_t;

enum class Kind : std::uint8_t {
  Context, Stream, Event, Pool, Memory, Pinned, Module, Function, Launch, Graph, GraphExec, Product
};
inline constexpr int kindCount = 12;
const char* kindName(Kind kind);

struct Use {
  Handle stream;
  std::uint64_t stamp;
};

struct Object {
  const Kind kind;
  Handle id = 0;
  Handle context = 0;  // 0 for a context itself
  Handle parent = 0;   // must outlive this one
  std::uint32_t children = 0;
  std::uint32_t pins = 0;        // waits under way
  std::vector<Use> uses;         // what the device may still do with it, by stream
  std::vector<Handle> graphs;    // instantiated graphs that name it

  explicit Object(Kind kind) : kind(kind) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
};

class HandleTable {
 public:
  Handle insert(std::unique_ptr<Object> object);
  // Takes the object out: its handle is stale from here on. Refuses while others depend on it.
  std::unique_ptr<Object> remove(Object& object, const std::string& doing);

  Object* find(Handle handle) const {
    const auto slot = static_cast<std::size_t>(handle & slotMask);
    if (slot >= slots_.size()) return nullptr;
    const Slot& entry = slots_[slot];
    return entry.object != nullptr && entry.object->id == handle ? entry.object.get() : nullptr;
  }
  template <typename T>
  T& get(Handle handle, const char* doing) const {
    Object* object = find(handle);
    if (object == nullptr || object->kind != T::tag) refuse(handle, object, T::tag, doing);
    return static_cast<T&>(*object);
  }

  // Changes whenever any object goes away: what was alive at an equal epoch is alive now.
  std::uint64_t epoch() const { return epoch_; }
  std::size_t live(Kind kind) const { return live_[static_cast<int>(kind)]; }
  std::vector<Object*> all() const;

 private:
  static constexpr int slotBits = 22;
  static constexpr Handle slotMask = (Handle{1} << slotBits) - 1;
  struct Slot {
    std::uint32_t generation = 0;
    std::unique_ptr<Object> object;
  };
  [[noreturn]] static void refuse(Handle handle, const Object* found, Kind wanted, const char* doing);

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::uint64_t epoch_ = 1;
  std::size_t live_[kindCount] = {};
};
