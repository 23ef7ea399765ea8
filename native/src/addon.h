// The addon's state for one JavaScript environment (the main thread, or one worker), and what its files share.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "objects.h"
#include "waiter.h"

// An object of the addon's failure as JavaScript sees it: an Error with code, call, doing, description, result, log.
Napi::Error toError(Napi::Env env, const Failure& failure);

// Reads arguments with checks; every message names the argument.
class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* doing) : info_(info), doing_(doing) {}
  Napi::Env env() const { return info_.Env(); }
  const char* doing() const { return doing_; }
  std::uint64_t integer(std::size_t index, const char* name) const;   // 0 … 2^53 - 1
  std::int32_t signedInteger(std::size_t index, const char* name) const;
  bool boolean(std::size_t index, const char* name) const;
  std::string text(std::size_t index, const char* name) const;
  std::vector<std::string> texts(std::size_t index, const char* name) const;
  Napi::Object object(std::size_t index, const char* name) const;
  // The bytes behind a typed array, without copying. Valid for the duration of the call.
  std::pair<const std::uint8_t*, std::size_t> bytes(std::size_t index, const char* name) const;
  std::vector<double> numbers(std::size_t index, const char* name) const;  // a Float64Array
  [[noreturn]] void refuse(const std::string& why) const { throw Failure(badArgument, doing_, why); }

 private:
  const Napi::CallbackInfo& info_;
  const char* doing_;
};

std::uint64_t toInteger(double value, const char* name, const char* doing);

// "64 bytes", for what is said of a failure.
std::string bytesText(std::uint64_t bytes);

class Instance {
 public:
  Instance(Napi::Env env, Napi::Object exports);
  ~Instance();

  // libraries.cc is plain C++; these say what was found.
  Napi::Value openDriver(const Napi::CallbackInfo&);
  Napi::Value openLibrary(const Napi::CallbackInfo&);
  Napi::Value statistics(const Napi::CallbackInfo&);
  // devices.cc
  Napi::Value describeDevice(const Napi::CallbackInfo&);
  Napi::Value openContext(const Napi::CallbackInfo&);
  Napi::Value closeContext(const Napi::CallbackInfo&);
  Napi::Value memoryInfo(const Napi::CallbackInfo&);
  // streams.cc
  Napi::Value createStream(const Napi::CallbackInfo&);
  Napi::Value destroyStream(const Napi::CallbackInfo&);
  Napi::Value streamIdle(const Napi::CallbackInfo&);
  Napi::Value waitStream(const Napi::CallbackInfo&);
  Napi::Value settled(const Napi::CallbackInfo&);
  Napi::Value cancelWait(const Napi::CallbackInfo&);
  Napi::Value createEvent(const Napi::CallbackInfo&);
  Napi::Value destroyEvent(const Napi::CallbackInfo&);
  Napi::Value recordEvent(const Napi::CallbackInfo&);
  Napi::Value waitEvent(const Napi::CallbackInfo&);
  Napi::Value eventDone(const Napi::CallbackInfo&);
  Napi::Value elapsed(const Napi::CallbackInfo&);
  // memory.cc
  Napi::Value createPool(const Napi::CallbackInfo&);
  Napi::Value destroyPool(const Napi::CallbackInfo&);
  Napi::Value poolInfo(const Napi::CallbackInfo&);
  Napi::Value trimPool(const Napi::CallbackInfo&);
  Napi::Value allocate(const Napi::CallbackInfo&);
  Napi::Value allocateOn(const Napi::CallbackInfo&);
  Napi::Value allocateGuarded(const Napi::CallbackInfo&);
  Napi::Value free(const Napi::CallbackInfo&);
  Napi::Value address(const Napi::CallbackInfo&);
  Napi::Value allocatePinned(const Napi::CallbackInfo&);
  Napi::Value registerPinned(const Napi::CallbackInfo&);
  Napi::Value freePinned(const Napi::CallbackInfo&);
  Napi::Value copyToDevice(const Napi::CallbackInfo&);
  Napi::Value copyToHost(const Napi::CallbackInfo&);
  Napi::Value copyOnDevice(const Napi::CallbackInfo&);
  Napi::Value write(const Napi::CallbackInfo&);
  Napi::Value fill(const Napi::CallbackInfo&);
  // modules.cc
  Napi::Value loadModule(const Napi::CallbackInfo&);
  Napi::Value unloadModule(const Napi::CallbackInfo&);
  Napi::Value getFunction(const Napi::CallbackInfo&);
  Napi::Value getGlobal(const Napi::CallbackInfo&);
  Napi::Value setFunctionAttribute(const Napi::CallbackInfo&);
  Napi::Value occupancy(const Napi::CallbackInfo&);
  // launches.cc
  Napi::Value prepareLaunch(const Napi::CallbackInfo&);
  Napi::Value updateLaunch(const Napi::CallbackInfo&);
  Napi::Value destroyLaunch(const Napi::CallbackInfo&);
  void launch(Handle launch, Handle stream);
  // products.cc
  Napi::Value prepareProduct(const Napi::CallbackInfo&);
  Napi::Value submitProduct(const Napi::CallbackInfo&);
  Napi::Value destroyProduct(const Napi::CallbackInfo&);
  // graphs.cc
  Napi::Value beginCapture(const Napi::CallbackInfo&);
  Napi::Value endCapture(const Napi::CallbackInfo&);
  Napi::Value destroyGraph(const Napi::CallbackInfo&);
  Napi::Value instantiate(const Napi::CallbackInfo&);
  Napi::Value destroyExecutable(const Napi::CallbackInfo&);
  Napi::Value uploadGraph(const Napi::CallbackInfo&);
  Napi::Value updateKernelNode(const Napi::CallbackInfo&);
  void replay(Handle executable, Handle stream);
  // compile.cc
  Napi::Value compile(const Napi::CallbackInfo&);
  Napi::Value link(const Napi::CallbackInfo&);

 private:
  template <Napi::Value (Instance::*method)(const Napi::CallbackInfo&)>
  void define(Napi::Object exports, const char* name);
  template <void (Instance::*method)(Handle, Handle)>
  void defineFast(Napi::Object exports, const char* name, const char* doing);

  const Driver& driver(const char* doing) const;
  // The context of an object, made current on this thread.
  ContextObject& enter(const Object& object, const char* doing);
  void sameDevice(const Object& a, const Object& b, const char* doing) const;
  StreamObject& stream(Handle handle, const char* doing) { return table_.get<StreamObject>(handle, doing); }

  // Says that work just submitted to `stream` touches `object`.
  void use(StreamObject& stream, Object& object);
  void submitted(StreamObject& stream) { stream.submitted++; }
  // The uses that the device has not finished, graphs that name the object included; asks the driver where it must.
  std::vector<Use> unfinished(Object& object);
  void requireSettled(Object& object, const std::string& doing);
  cu::Event spareEvent(ContextObject& context, const char* doing);
  Napi::Object startWait(Napi::Env env, ContextObject& context, const std::vector<Use>& uses, Object* pinned,
                         const char* doing);
  void finishWait(PendingWait wait);

  MemoryObject& range(Handle memory, std::uint64_t offset, std::uint64_t bytes, const char* doing);
  std::uint8_t* pinnedRange(Handle pinned, std::uint64_t offset, std::uint64_t bytes, const char* doing);
  void releaseMemory(MemoryObject& memory, bool alive, const char* doing);
  void setParameters(LaunchObject& launch, const std::uint8_t* block, std::size_t bytes, const std::vector<double>& buffers,
                     const Napi::Array& maps, const char* doing);
  void checkBuffers(LaunchObject& launch, const char* doing);
  void submitPlain(LaunchObject& launch, const char* doing);
  bool submitResolved(LaunchObject& launch, StreamObject& target, const char* doing);
  void dropResolved(LaunchObject& launch);
  std::vector<Handle> objectsOf(const LaunchObject& launch) const;
  void abandon(Object& object);

  // Runs `work` on a thread of the pool, then `finish` here; a Failure of either rejects the promise. `pinned` stays alive
  // meanwhile (0: nothing to keep).
  Napi::Promise background(Napi::Env env, Handle pinned, std::function<void()> work,
                           std::function<Napi::Value(Napi::Env)> finish);

  struct ActiveWait {
    Napi::Promise::Deferred deferred;
    Handle context;
    Handle pinned;  // 0: none
    std::vector<cu::Event> events;
    std::vector<Use> reached;
    std::string doing;
  };

  Napi::Env env_;
  HandleTable table_;
  std::shared_ptr<Driver> driver_;
  std::unordered_map<std::string, std::shared_ptr<Library>> libraries_;
  std::unordered_map<std::uint64_t, ActiveWait> waits_;
  std::uint64_t nextWait_ = 1;
  std::unique_ptr<Waiter> waiter_;

  friend struct PinnedAccess;
};

// Pinned memory as an object: the block, and for JavaScript's own memory the ArrayBuffer that is locked.
struct PinnedObject : Object {
  static constexpr Kind tag = Kind::Pinned;
  std::shared_ptr<PinnedBlock> block;
  Napi::Reference<Napi::ArrayBuffer> buffer;
  PinnedObject() : Object(tag) {}
};
